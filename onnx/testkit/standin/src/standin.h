// What the stand-ins share: the trace and faults made to order, both in cudart.c.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// standin_trace writes one line to the file that STANDIN_TRACE names; a star before it
// says that a stream was being captured.
void standin_trace(const char *format, ...);

// standin_fault is the code with which a call is to fail, 0 if it is not:
// STANDIN_FAULT=CALL=CODE[@N] has every call of that name fail, from the Nth on.
int standin_fault(const char *call);

// WORKS defines a function that does nothing and succeeds, COMPUTES one that would compute.
#define WORKS(name) int name() { return standin_fault(#name); }
#define COMPUTES(name) int name() { standin_trace("lib " #name); return standin_fault(#name); }
