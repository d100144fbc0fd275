package freeze

// Request is what the options of freezing say, read but not yet held against a network.
type Request struct {
	Selectors Selectors // of option freeze
	Policies  []Policy  // of option bn
	Schedule  Schedule  // of option unfreeze
	Scales    []Scale   // of option lr-scale
}

// ParseRequest reads the values of options freeze, bn, unfreeze and lr-scale, as [Parse],
// [ParseBN], [ParseSchedule] and [ParseScales] do.
func ParseRequest(freeze, bn, unfreeze, lrScale []string) (r Request, err error) {
	if r.Selectors, err = Parse(freeze); err != nil {
		return r, err
	}
	if r.Policies, err = ParseBN(bn); err != nil {
		return r, err
	}
	if r.Schedule, err = ParseSchedule(unfreeze); err != nil {
		return r, err
	}
	r.Scales, err = ParseScales(lrScale)
	return r, err
}
