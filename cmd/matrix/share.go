package matrix

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"yolofreeze/cmd/term"
)

// taskVariables are those by which an array job tells a task its number, and the first number that
// there is. In Slurm that is the array's own affair, which Emit begins at 1.
var taskVariables = []struct {
	name  string
	first int
}{{"SLURM_ARRAY_TASK_ID", 1}, {"JOB_COMPLETION_INDEX", 0}}

// Share returns the cells that fall to a task K of N, counted from 1: every N-th from the K-th on.
// For auto there are as many tasks as cells, and the number is the array job's.
func Share(cells []Cell, text string) ([]Cell, error) {
	task, tasks := 0, len(cells)
	if text == "auto" {
		found := false
		for _, v := range taskVariables {
			value, set := os.LookupEnv(v.name)
			if !set || found {
				continue
			}
			n, err := strconv.Atoi(value)
			if err != nil || n < v.first || n-v.first >= tasks {
				return nil, term.Usagef("compare: --cell auto: %s=%s, and the %d runs have the numbers %d to %d", v.name, value, tasks, v.first, v.first+tasks-1)
			}
			task, found = n-v.first, true
		}
		if !found {
			return nil, term.Usagef("compare: --cell auto: neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set; outside an array job give --cell K/N")
		}
	} else {
		first, second, _ := strings.Cut(text, "/")
		k, err := strconv.Atoi(first)
		n, err2 := strconv.Atoi(second)
		if err != nil || err2 != nil || k < 1 || k > n {
			return nil, term.Usagef("compare: --cell %s: want K/N, the K-th of N tasks, such as 1/4, or auto", text)
		}
		task, tasks = k-1, n
	}
	var own []Cell
	for i := task; i < len(cells); i += tasks {
		own = append(own, cells[i])
	}
	return own, nil
}

// Systems are those that Emit knows.
var Systems = []string{"slurm", "kubernetes"}

// Emit returns what a system is given to run a command, and the arguments that it has, once for each of so many cells.
func Emit(system string, cells int, dir string, command []string) (string, error) {
	command = append(command, "--cell=auto")
	switch system {
	case "slurm":
		quoted := make([]string, len(command))
		for i, word := range command {
			quoted[i] = shellQuote(word)
		}
		return fmt.Sprintf(slurmArray, cells, shellQuote(dir), strings.Join(quoted, " ")), nil
	case "kubernetes":
		quoted := make([]string, len(command))
		for i, word := range command {
			quoted[i] = "\n            - " + strconv.QuoteToASCII(word)
		}
		return fmt.Sprintf(indexedJob, cells, cells, strings.Join(quoted, "")), nil
	}
	return "", term.Usagef("compare: --emit %s: want %s", system, strings.Join(Systems, " or "))
}

// shellQuote spells a word for a shell.
func shellQuote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_=+,./:@%", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

const slurmArray = `#!/bin/bash
# A task for each run. Add what your cluster asks for (--partition, --time), and per run
# --gres=gpu:1 and --cpus-per-task. When all are done, the same command without --cell writes the report.
#SBATCH --job-name=yolofreeze-compare
#SBATCH --array=1-%d
#SBATCH --ntasks=1
#SBATCH --requeue
set -e
cd %s
exec %s
`

const indexedJob = `# An index for each run. Put in your image and volume, and a limit of nvidia.com/gpu: 1 for GPUs.
# When all are done, the same command without --cell writes the report.
apiVersion: batch/v1
kind: Job
metadata:
  name: yolofreeze-compare
spec:
  completionMode: Indexed
  completions: %d
  parallelism: %d
  backoffLimitPerIndex: 2
  template:
    spec:
      restartPolicy: Never
      containers:
        - name: yolofreeze
          image: yolofreeze
          workingDir: /work
          command:%s
          volumeMounts:
            - name: work
              mountPath: /work
      volumes:
        - name: work
          persistentVolumeClaim:
            claimName: work
`
