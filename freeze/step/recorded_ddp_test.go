package step

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"yolofreeze/freeze/fixture"
	"yolofreeze/onnx"
	"yolofreeze/onnx/collective"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/testkit/recorded"
)

// ranksOutcome is what a replay on several ranks yields, as one of them sees it.
type ranksOutcome struct {
	Losses [][4]float64         // of this rank, step by step
	Grads  map[string][]float64 // of the first step after the reduction, by parameter
	After  map[string][]float64 // the state after it
	EMA    map[string][]float64
	Norm   float64 // of the first step's gradients
	Eval   []float64
	Sum    []byte // all state after the last step
}

// TestRecordedDDP replays trainings of PyTorch's DistributedDataParallel with the ranks side by
// side in this process, their sums taken in memory. What the ranks hold is the same to the byte.
func TestRecordedDDP(t *testing.T) {
	eachDDP(t, func(t *testing.T, r *recording) {
		checkRanks(t, r, func(weights map[string]*onnx.Tensor) []ranksOutcome {
			moved := *r
			moved.weights = weights
			return inProcess(t, &moved)
		})
	})
}

func eachDDP(t *testing.T, test func(t *testing.T, r *recording)) {
	recorded.EachDDP(t, func(t *testing.T, r *recorded.Recording) {
		together(t)
		fixture.NeedORT(t)
		if r.SyncBN {
			t.Skip("statistics over all ranks are not built: each rank has those of its own batch")
		}
		test(t, newRecording(r))
	})
}

// inProcess replays a recording on ranks within this process.
func inProcess(t *testing.T, r *recording) []ranksOutcome {
	t.Helper()
	outcomes, errs := make([]ranksOutcome, r.World), make([]error, r.World)
	var all sync.WaitGroup
	for _, g := range collective.InProcess(r.World) {
		spec := r.rankSpec(t, g.Rank())
		all.Go(func() {
			outcomes[g.Rank()], errs[g.Rank()] = r.replayRank(spec, g)
			_ = g.Close(errs[g.Rank()], 1)
		})
	}
	all.Wait()
	for rank, err := range errs {
		if err != nil {
			t.Fatalf("rank %d: %v", rank, err)
		}
	}
	return outcomes
}

// rankSpec is the spec for a rank's own batch.
func (r *recording) rankSpec(t *testing.T, rank int) *Spec {
	t.Helper()
	spec := r.spec(t)
	spec.Batch = int(r.Tensors[fmt.Sprintf("images/%d", rank)].Shape[0])
	spec.Predictions = false
	return spec
}

// replayRank takes the recorded steps as one rank.
func (r *recording) replayRank(spec *Spec, g *collective.Group) (out ranksOutcome, err error) {
	e, err := NewEngine(spec, ort.Options{Threads: 1})
	if err != nil {
		return out, err
	}
	defer e.Close()
	e.Join(g)
	images, targets := r.Tensors[fmt.Sprintf("images/%d", g.Rank())], r.Tensors[fmt.Sprintf("targets/%d", g.Rank())]
	matches := spec.Net.Assign(recorded.Targets(targets), r.ImgSize, r.ImgSize, r.Hyp["anchor_t"])
	for step := range r.Steps {
		l, err := e.Accumulate(images.Raw, matches)
		if err != nil {
			return out, err
		}
		out.Losses = append(out.Losses, partsOf(l))
		if step == 0 { // seen between the reduction and the optimizer
			if err := e.reduce(e.State); err != nil {
				return out, err
			}
			out.Grads = floats(e.Gradients, func(name string) string { return strings.TrimPrefix(name, optim.Gradient("")) })
			e.ranks = nil
		}
		norm, err := e.Step(Rates{[3]float64{r.LR, r.LR, r.LR}, r.Hyp["momentum"], EMADecay(step + 1)})
		if err != nil {
			return out, err
		}
		if step == 0 {
			e.Join(g)
			out.Norm = norm
			out.After, out.EMA = floats(e.Trained, func(name string) string { return name }), floats(e.Optimizer, func(name string) string {
				own, _ := strings.CutPrefix(name, optim.EMA(""))
				return own
			})
		}
	}
	for _, group := range []map[string]*onnx.Tensor{e.Trained, e.Optimizer} {
		for _, name := range slices.Sorted(maps.Keys(group)) {
			out.Sum = append(out.Sum, group[name].Raw...)
		}
	}
	out.Eval, err = decoded(spec, e.Weights(true), r.Tensors["images/0"])
	return out, err
}

func floats(group map[string]*onnx.Tensor, rename func(string) string) map[string][]float64 {
	out := map[string][]float64{}
	for name, t := range group {
		out[rename(name)] = t.Float64s()
	}
	return out
}

// checkRanks holds a replay against its recording within the limits of recorded steps: what the
// first step yields, and ten losses and the final output, which may miss the recorded limit by
// four times what a start one ulp away changes (see TestRecordedSteps).
func checkRanks(t *testing.T, r *recording, replay func(weights map[string]*onnx.Tensor) []ranksOutcome) {
	t.Helper()
	ranks := replay(r.weights)
	check := func(group, name string, got, want []float64) {
		t.Helper()
		if d, limit := deviation(got, want), r.Limit(group); !(d <= limit) {
			t.Errorf("%s %s: off by %.3g of its largest entry, limit %.3g", group, name, d, limit)
		}
	}
	for rank, out := range ranks {
		if !bytes.Equal(out.Sum, ranks[0].Sum) {
			t.Errorf("rank %d does not hold what rank 0 does", rank)
		}
		for k, want := range r.Losses[0][rank] {
			check("losses", fmt.Sprintf("rank %d, part %d", rank, k), out.Losses[0][k:k+1], []float64{want})
		}
		for name := range r.weights {
			if want := r.Tensors["grad/"+name]; want != nil {
				check("grad", name, out.Grads[name], want.Float64s())
			}
			for group, got := range map[string]map[string][]float64{"after1": out.After, "ema1": out.EMA} {
				want := r.Tensors[group+"/"+name]
				if want == nil {
					want = r.Tensors["init/"+name]
				}
				if got[name] != nil {
					check(group, name, got[name], want.Float64s())
				} else if r.Tensors[group+"/"+name] != nil {
					t.Errorf("%s %s is recorded, and does not change here", group, name)
				}
			}
		}
		check("grad", "global norm", []float64{out.Norm}, r.GradNorm[:1])
	}
	got, limit := outcomeOf(ranks), r.outcomeLimit()
	for seed := uint64(1); seed <= 8 && !limit.holds(got, r); seed++ {
		spread := spread(got, outcomeOf(replay(oneULPAway(r.weights, seed))))
		limit = outcomeLimit{max(limit.losses, 4*spread.losses), max(limit.eval, 4*spread.eval)}
	}
	limit.check(t, got, r)
}

// outcomeOf joins the ranks' losses as recordings have them.
func outcomeOf(ranks []ranksOutcome) (out outcome) {
	for step := range ranks[0].Losses {
		for _, rank := range ranks {
			out.losses = append(out.losses, rank.Losses[step])
		}
	}
	out.eval = ranks[0].Eval
	return out
}

// TestRecordedDDPProcesses replays them on processes that MPI joins, which come to the same
// bytes: a sum of two does not depend on their order.
func TestRecordedDDPProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("the recordings once more")
	}
	if _, err := collective.FindMPI(); err != nil {
		t.Skipf("tier mpi: %v", err)
	}
	recorded.EachDDP(t, func(t *testing.T, r *recorded.Recording) {
		fixture.NeedORT(t)
		if r.SyncBN {
			t.Skip("statistics over all ranks are not built: each rank has those of its own batch")
		}
		recording := newRecording(r)
		if name := os.Getenv(rankVariable); name != "" { // this is a rank
			if name == t.Name() {
				asRank(t, recording)
			}
			return
		}
		want, got := inProcess(t, recording), onProcesses(t, r.World)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("processes do not come to what ranks in one process do: losses %v, want %v", got[0].Losses, want[0].Losses)
		}
	})
}

// rankVariable names the test that this program, started again as a rank, takes part in, and the
// folder for what comes of it.
const rankVariable, rankFolder = "YOLOFREEZE_TEST_RANK", "YOLOFREEZE_TEST_RANK_FOLDER"

// onProcesses runs this very test as ranks and reads what they write.
func onProcesses(t *testing.T, world int) []ranksOutcome {
	t.Helper()
	dir := t.TempDir()
	t.Setenv(rankVariable, t.Name())
	t.Setenv(rankFolder, dir)
	var said bytes.Buffer
	ranks, err := collective.Start(world, &said, &said, os.Args[0], "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$")
	if err != nil {
		t.Fatal(err)
	}
	if code, err := ranks.Wait(); code != 0 || err != nil {
		t.Fatalf("exit code %d, %v: %s", code, err, said.String())
	}
	outcomes := make([]ranksOutcome, world)
	for rank := range outcomes {
		text, err := os.ReadFile(fmt.Sprintf("%s/%d", dir, rank))
		if err == nil {
			err = json.Unmarshal(text, &outcomes[rank])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return outcomes
}

// asRank is the test's part as a rank; its process ends with it.
func asRank(t *testing.T, r *recording) {
	g, err := collective.Join()
	if err != nil {
		t.Fatal(err)
	}
	out, err := r.replayRank(r.rankSpec(t, g.Rank()), g)
	if err == nil {
		var text []byte
		if text, err = json.Marshal(out); err == nil {
			err = os.WriteFile(fmt.Sprintf("%s/%d", os.Getenv(rankFolder), g.Rank()), text, 0o600)
		}
	}
	code := 0
	if err = g.Close(err, 1); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(g.Exit(code))
}

// TestReduceOverflow: gradients that overflow on one rank leave the step out on all.
func TestReduceOverflow(t *testing.T) {
	fixture.NeedORT(t)
	var all sync.WaitGroup
	scales, skipped := [2]float64{}, [2]int{}
	for _, g := range collective.InProcess(2) {
		spec, err := trialSpec()
		if err != nil {
			t.Fatal(err)
		}
		spec.AMP = onnx.Float16
		e, err := NewEngine(spec, ort.Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		e.Join(g)
		if g.Rank() == 1 {
			for _, grad := range e.Gradients {
				onnx.Data[float32](grad)[0] = float32(math.Inf(1))
			}
		}
		all.Go(func() {
			_, err := e.Step(Rates{})
			_ = g.Close(err, 1)
			scales[g.Rank()], skipped[g.Rank()] = e.Scaler.Scale, e.Scaler.Skipped
		})
	}
	all.Wait()
	if scales != [2]float64{firstScale / 2, firstScale / 2} || skipped != [2]int{1, 1} {
		t.Errorf("scales %v, skipped %v", scales, skipped)
	}
}
