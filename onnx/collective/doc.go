// Package collective lets the processes of one run, its ranks, act together: broadcast, sum,
// gather, barrier. They talk by MPI, whose library is loaded when a launcher has started more than
// one of them (any that serves MPI 5's standard ABI: mpich 5, Open MPI 6), and sum what lies in the
// memory of CUDA devices by NCCL. A run of one rank loads nothing and waits for nobody.
//
// A rank that ends with an error takes the others with it, who are told of it; one that dies or
// stands still is missed by all within half a minute, and named.
package collective
