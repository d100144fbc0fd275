package runs

// Metrics are those of the best epoch.
type Metrics struct {
	Epoch     int     `json:"epoch"`
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	MAP50     float64 `json:"map50"`
	MAP       float64 `json:"map"`
	Fitness   float64 `json:"fitness"`
}

// MetricsOf are the metrics of an epoch.
func MetricsOf(epoch int, r Row) Metrics {
	return Metrics{epoch, r.Precision, r.Recall, r.MAP50, r.MAP, r.Fitness()}
}

// Timing is where the time of a process went. Images per second counts
// pictures trained over the time that training them took, waiting included.
type Timing struct {
	Seconds         float64 `json:"seconds"` // from start to end
	Phases          Phases  `json:"phases"`
	ImagesPerSecond float64 `json:"images_per_second"`
	PeakRSS         int64   `json:"peak_rss_bytes"` // 0 where the system does not tell
}

// Phases are seconds.
type Phases struct {
	Data       float64 `json:"data"`      // waiting for pictures
	Step       float64 `json:"step"`      // forward, loss, gradients
	Optimizer  float64 `json:"optimizer"` // clipping, update, moving average
	Validation float64 `json:"validation"`
	Saving     float64 `json:"saving"`
	Features   float64 `json:"features"` // making or opening the cache of frozen features
}

// TimingHeader is the first line of timing.csv.
const TimingHeader = "epoch,seconds,data,step,optimizer,validation,saving,features,images_per_second,peak_rss_bytes\n"

// Files of a run's folder that are written once: as it begins, and when it has ended.
const (
	OptionsFile = "opt.yaml"
	PlanFile    = "freeze.yaml"
	SummaryFile = "summary.json"
)

// Environment is where a run was: what its times and its memory depend on. Its JSON keys are stable.
type Environment struct {
	Version   string `json:"version"`             // of the program
	System    string `json:"system"`              // such as linux/amd64
	Processor string `json:"processor,omitempty"` // its name, "" where the system does not tell
	Threads   int    `json:"threads"`             // processors that the process may use
	Memory    int64  `json:"memory_bytes"`        // of the machine
	Runtime   string `json:"onnxruntime"`         // its version
	Device    string `json:"device"`              // such as cpu or cuda:0
	Kernels   string `json:"kernels,omitempty"`   // native or stock
}
