package pelton

// A transform that runs: one instance, and the loop that hands it its changes.

// output is what comes of a batch.
type output struct {
	count    uint32
	payload  []byte
	rejected []Rejection
}

// Rejection is one change that can never be transformed.
type Rejection struct {
	// Index counts the changes of the batch from 0.
	Index         uint32
	Code, Message string
}

type runner struct {
	transform *Transform
	// By the relation's id: its function and where its columns go.
	routes []route
	ahead  bool
	in     input
	out    Out
}

type route struct {
	handler Handler
	plan    *plan
}

// newRunner starts an instance.
func newRunner(transform *Transform, context *Context) (*runner, error) {
	if err := transform.check(); err != nil {
		return nil, err
	}
	if err := readSettings(transform.Settings, context.Settings); err != nil {
		return nil, err
	}
	if transform.Init != nil {
		if err := transform.Init(context); err != nil {
			return nil, err
		}
	}
	r := &runner{transform: transform, out: Out{schemas: transform.Publishes}}
	for _, handler := range transform.Tables {
		r.ahead = r.ahead || handler.readsAhead()
	}
	for i := range context.Relations {
		if err := r.relationChanged(&context.Relations[i]); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Ids are dense; one beyond this is a mistake that would only fill the memory.
const relationsMax = 1 << 20

// relationChanged takes a relation that is new or was altered.
func (r *runner) relationChanged(relation *Relation) error {
	if relation.ID >= relationsMax {
		return Fatal("the host numbers a relation %d; ids must be dense", relation.ID)
	}
	var found route
	for _, handler := range r.transform.Tables {
		table := handler.source()
		if table.schema == relation.Schema && table.name == relation.Name {
			plan, err := newPlan(table, relation)
			if err != nil {
				return err
			}
			found = route{handler, plan}
		}
	}
	for len(r.routes) <= int(relation.ID) {
		r.routes = append(r.routes, route{})
	}
	r.routes[relation.ID] = found
	return nil
}

// process transforms a batch. The error is to be retried or fatal; changes that are rejected alone stand in the output,
// whose payload is good until the next batch.
func (r *runner) process(spans []Span, count uint32, payload []byte) (output, error) {
	state.open()
	defer state.close()
	in := reader{data: payload}
	if changes, ok := in.array(); !ok {
		return output{}, errMalformed
	} else if uint32(changes) != count {
		return output{}, Fatal("the host's batch holds another number of changes than it says")
	}
	if r.ahead {
		defer r.forget()
		if err := r.readAhead(in, count); err != nil {
			return output{}, err
		}
	}
	r.out.begin(len(payload) + len(payload)/4 + outHead)
	var rejections []Rejection
	index := uint32(0)
	for i := range spans {
		span := &spans[i]
		if span.First != index || count-index < span.Count {
			return output{}, Fatal("the spans of the host's batch do not cover its changes")
		}
		r.out.span = span
		for end := index + span.Count; index < end; index++ {
			r.out.source = index
			if err := r.change(&in, &rejections); err != nil {
				return output{}, err
			}
		}
		if r.transform.EndOfTransaction != nil && span.Complete && span.Count > 0 {
			before, rows := len(r.out.rows.data), r.out.count
			if err := r.settle(r.transform.EndOfTransaction(&r.out), before, rows, &rejections); err != nil {
				return output{}, err
			}
		}
	}
	if index != count || !in.isEmpty() {
		return output{}, Fatal("the host's batch has bytes or changes beyond its end")
	}
	if err := state.flush(); err != nil {
		return output{}, err
	}
	return output{r.out.count, r.out.finish(), rejections}, nil
}

// readAhead reads the state that the batch's changes will need. What can't be read of a change is reported when it is
// transformed.
func (r *runner) readAhead(reader reader, count uint32) error {
	var ahead Ahead
	for range count {
		op, route, err := r.head(&reader)
		if err != nil {
			return err
		}
		start := reader.at
		if route.handler.readsAhead() {
			r.in = input{&reader, op, route.plan}
			route.handler.ahead(&r.in, &ahead)
		}
		// Where a rejected change ends is not known.
		reader.at = start
		if !reader.skipRow() || !reader.skipRow() {
			return errMalformed
		}
	}
	return state.fetch()
}

func (r *runner) forget() {
	for _, handler := range r.transform.Tables {
		handler.forget()
	}
}

// head reads what stands before a change's rows.
func (r *runner) head(reader *reader) (Op, *route, error) {
	parts, ok := reader.array()
	if !ok {
		return 0, nil, errMalformed
	}
	if parts != 4 {
		return 0, nil, Fatal("a change of the host's batch does not have its four parts")
	}
	op, ok := reader.index()
	if !ok {
		return 0, nil, errMalformed
	}
	if op > uint32(OpTruncate) {
		return 0, nil, Fatal("the host sent the unknown operation %d", op)
	}
	id, ok := reader.index()
	if !ok {
		return 0, nil, errMalformed
	}
	if int(id) >= len(r.routes) || r.routes[id].plan == nil {
		return 0, nil, Fatal("the host sent a change of relation %d, which it has not announced or which is not subscribed", id)
	}
	return Op(op), &r.routes[id], nil
}

// change hands one change to its function.
func (r *runner) change(reader *reader, rejections *[]Rejection) error {
	op, route, err := r.head(reader)
	if err != nil {
		return err
	}
	start, before, rows := reader.at, len(r.out.rows.data), r.out.count
	r.in = input{reader, op, route.plan}
	err = route.handler.run(&r.in, &r.out)
	if err != nil {
		// It may have ended anywhere inside of the change.
		reader.at = start
		if !reader.skipRow() || !reader.skipRow() {
			return errMalformed
		}
	}
	return r.settle(err, before, rows, rejections)
}

// settle ends a function's call: a rejected change leaves no rows behind.
func (r *runner) settle(err error, before int, rows uint32, rejections *[]Rejection) error {
	if r.out.mistake != nil {
		return r.out.mistake
	}
	if err == nil {
		return nil
	}
	verdict, ok := asError(err)
	if !ok || !verdict.IsRejected() {
		return err
	}
	r.out.rows.data, r.out.count = r.out.rows.data[:before], rows
	// The end of a transaction speaks for its last change, which may have been rejected already.
	if last := len(*rejections) - 1; last < 0 || (*rejections)[last].Index != r.out.source {
		*rejections = append(*rejections, Rejection{r.out.source, verdict.Code, verdict.Message})
	}
	return nil
}
