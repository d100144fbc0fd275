package collective

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/ort/packages"
)

// Unavailable says that a library which ranks talk by is missing or unfit.
type Unavailable struct {
	What   string // "MPI" or "NCCL"
	Path   string // of the library, where one was found
	Reason error
	Cure   string
}

func (e *Unavailable) Error() string {
	text := e.What + " is not available: "
	if e.Path != "" {
		text += e.Path + ": "
	}
	return text + e.Reason.Error() + "; " + e.Cure
}

func (e *Unavailable) Unwrap() error { return e.Reason }

// ExitCode is that of a runtime that is missing.
func (e *Unavailable) ExitCode() int { return 4 }

// mpiVariable and ncclVariable name libraries to use before those that are installed.
const (
	mpiVariable  = "YOLOFREEZE_MPI"
	ncclVariable = "YOLOFREEZE_NCCL"
	cureNCCL     = "run yolofreeze setup --nccl, or set " + ncclVariable + " to the library of NCCL 2"
	cureMPI      = "run yolofreeze setup --mpi, or set " + mpiVariable + " to the libmpi_abi of mpich 5 or Open MPI 6, or newer"

	// silenceVariable says after how many seconds without a sign a rank is taken for lost.
	silenceVariable = "YOLOFREEZE_RANK_TIMEOUT"
	usualSilence    = 30
)

// launchers are the variables by which those who start ranks tell a process their number.
var launchers = []struct{ size, rank string }{
	{"PMI_SIZE", "PMI_RANK"}, // mpich and its kin, srun --mpi=pmi2
	{"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"},
	{"SLURM_STEP_NUM_TASKS", "SLURM_PROCID"},
}

// Launched is what this process's launcher says of it: which rank it is of how many. Without a
// launcher it is 0 of 1.
func Launched() (rank, size int) {
	for _, l := range launchers {
		size, err := strconv.Atoi(os.Getenv(l.size))
		rank, err2 := strconv.Atoi(os.Getenv(l.rank))
		if err == nil && err2 == nil && size > 1 {
			return rank, size
		}
	}
	return 0, 1
}

// Join makes this process a rank of the group that its launcher has started; nil where there is
// none, or it is the only one. The process leaves by Group.Close.
func Join() (*Group, error) {
	_, size := Launched()
	if size == 1 {
		return nil, nil
	}
	path, err := FindMPI()
	if err != nil {
		return nil, err
	}
	unfit := func(err error) error { return &Unavailable{"MPI", path, err, cureMPI} }
	if _, err := loadMPI(path); err != nil {
		return nil, unfit(err)
	}
	silence, err := Silence()
	if err != nil {
		return nil, err
	}
	g, err := joinMPI(silence)
	switch {
	case err != nil:
		return nil, unfit(err)
	case g.size != size:
		return nil, unfit(fmt.Errorf("the launcher has started %d ranks, this library knows of %d: it needs the launcher of its own kind", size, g.size))
	}
	if g.parent, err = announce(g.rank); err != nil {
		return nil, g.Close(err, 1)
	}
	return g, nil
}

// Silence is after how long a rank that gives no sign is taken for lost.
func Silence() (time.Duration, error) {
	text := cmp.Or(os.Getenv(silenceVariable), strconv.Itoa(usualSilence))
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || !(seconds >= 1 && seconds <= 86400) {
		return 0, fmt.Errorf("%s=%s: want seconds, 1 to 86400", silenceVariable, text)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// FindMPI returns the path of MPI's library: the one that YOLOFREEZE_MPI names, then the one that is
// installed.
func FindMPI() (string, error) { return find("MPI", mpiVariable, cureMPI, &packages.MPI) }

// findNCCL returns the path of NCCL's library: the one that YOLOFREEZE_NCCL names, then the one that
// is installed.
func findNCCL() (string, error) { return find("NCCL", ncclVariable, cureNCCL, &packages.NCCL) }

func find(what, variable, cure string, p *packages.Package) (string, error) {
	if path := os.Getenv(variable); path != "" {
		if !disk.IsFile(path) {
			return "", &Unavailable{what, path, errors.New("no such file"), "correct or unset " + variable}
		}
		return path, nil
	}
	cache, err := disk.CacheFolder()
	if err != nil {
		return "", &Unavailable{what, "", err, "set " + variable}
	}
	folder := filepath.Join(cache, p.Folder)
	path := filepath.Join(folder, p.Library(packages.Here()))
	if !disk.IsFile(path) {
		return "", &Unavailable{what, "", fmt.Errorf("no library in %s", folder), cure}
	}
	if foreign := (*disk.ForeignError)(nil); errors.As(disk.Own(folder), &foreign) {
		return "", &Unavailable{what, path, foreign, cure}
	}
	return path, nil
}
