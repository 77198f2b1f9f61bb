package bridge

// Metrics are the parameters of a route that TCP and the like go by, 0 where
// they are not set.
type Metrics struct {
	// Lock has a bit for each parameter that must not be changed by what is
	// learned, by the number the kernel gives it.
	Lock             int    `json:"lock,omitempty"`
	Window           int    `json:"window,omitempty"`
	RTT              int    `json:"rtt,omitempty"`
	RTTVar           int    `json:"rtt_var,omitempty"`
	SSThresh         int    `json:"ssthresh,omitempty"`
	CWnd             int    `json:"cwnd,omitempty"`
	Reordering       int    `json:"reordering,omitempty"`
	InitCWnd         int    `json:"init_cwnd,omitempty"`
	Features         int    `json:"features,omitempty"`
	RTOMin           int    `json:"rto_min,omitempty"`
	InitRWnd         int    `json:"init_rwnd,omitempty"`
	QuickACK         int    `json:"quickack,omitempty"`
	FastOpenNoCookie int    `json:"fastopen_no_cookie,omitempty"`
	Congestion       string `json:"congestion,omitempty"` // the algorithm's name
}
