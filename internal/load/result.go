package load

import (
	"time"

	"golang.org/x/sys/unix"
)

// Sample is the state of a running workload.
type Sample struct {
	Elapsed time.Duration `json:"elapsed_ns"` // of Warmup and Duration
	Warmup  bool          `json:"warmup"`
	IOs     uint64        `json:"ios"` // since the start
	Bytes   uint64        `json:"bytes"`
	// Over the last interval:
	IOPS float64 `json:"iops"`
	MBps float64 `json:"mb_per_s"` // 10^6 bytes
	Mean float64 `json:"mean_us"`
}

// SessionResult is the share of one session.
type SessionResult struct {
	IOs     uint64  `json:"ios"`
	Bytes   uint64  `json:"bytes"`
	Latency Latency `json:"latency"`
}

// Fairness compares the sessions by their I/Os.
type Fairness struct {
	Min  uint64  `json:"min_ios"`
	Max  uint64  `json:"max_ios"`
	Jain float64 `json:"jain"` // 1: all equal; 1/n: one has everything
}

// CPU is what the client's process used, from getrusage.
type CPU struct {
	User   time.Duration `json:"user_ns"`
	System time.Duration `json:"system_ns"`
	PerIO  float64       `json:"us_per_io"`
	Cores  float64       `json:"cores"` // busy on average
}

// Result is the outcome of a run.
type Result struct {
	Workload Workload        `json:"workload"`
	Elapsed  time.Duration   `json:"elapsed_ns"` // counted time, without Warmup
	IOs      uint64          `json:"ios"`
	Reads    uint64          `json:"reads"`
	Writes   uint64          `json:"writes"`
	Bytes    uint64          `json:"bytes"`
	IOPS     float64         `json:"iops"`
	MBps     float64         `json:"mb_per_s"` // 10^6 bytes
	Latency  Latency         `json:"latency"`
	Read     Latency         `json:"read_latency"`
	Write    Latency         `json:"write_latency"`
	Client   CPU             `json:"client_cpu"`
	Fairness Fairness        `json:"fairness"`
	Sessions []SessionResult `json:"sessions"`
	Busy     uint64          `json:"busy"` // BUSY and TASK SET FULL, sent again
	// Of Verify:
	Verified   uint64   `json:"verified_blocks"`
	Mismatches uint64   `json:"mismatches"`
	Wrong      []string `json:"wrong,omitempty"` // the first mismatches in words
}

// cpuTime is the processor time of this process so far.
func cpuTime() (user, system time.Duration) {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0, 0
	}
	return time.Duration(u.Utime.Nano()), time.Duration(u.Stime.Nano())
}

// collect adds the sessions up.
func collect(w Workload, elapsed time.Duration, sessions []*session) Result {
	r := Result{Workload: w, Elapsed: elapsed, Sessions: make([]SessionResult, len(sessions))}
	var read, write, all Histogram
	var squares float64
	for i, s := range sessions {
		var own Histogram
		own.Merge(&s.stats.read)
		own.Merge(&s.stats.write)
		read.Merge(&s.stats.read)
		write.Merge(&s.stats.write)
		n := own.Count()
		r.Sessions[i] = SessionResult{IOs: n, Bytes: s.stats.bytes, Latency: own.Latency()}
		r.Bytes += s.stats.bytes
		r.Busy += s.stats.busy
		if s.verify != nil {
			r.Verified += s.verify.checked
			r.Mismatches += s.verify.mismatches
			r.Wrong = append(r.Wrong, s.verify.wrong...)
		}
		if i == 0 || n < r.Fairness.Min {
			r.Fairness.Min = n
		}
		r.Fairness.Max = max(r.Fairness.Max, n)
		squares += float64(n) * float64(n)
	}
	all.Merge(&read)
	all.Merge(&write)
	r.IOs, r.Reads, r.Writes = all.Count(), read.Count(), write.Count()
	r.Latency, r.Read, r.Write = all.Latency(), read.Latency(), write.Latency()
	if seconds := elapsed.Seconds(); seconds > 0 {
		r.IOPS, r.MBps = float64(r.IOs)/seconds, float64(r.Bytes)/seconds/1e6
	}
	if squares > 0 {
		r.Fairness.Jain = float64(r.IOs) * float64(r.IOs) / (float64(len(sessions)) * squares)
	}
	r.Wrong = r.Wrong[:min(len(r.Wrong), maxWrong)]
	return r
}
