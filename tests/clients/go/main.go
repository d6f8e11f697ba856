// A client in Go: google.golang.org/grpc, whose makers know nothing of Holdfast. Messages are made
// from the descriptors, so that no generator is needed.
//
// Usage: client ADDRESS DESCRIPTOR_SET
package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

type world struct {
	conn  *grpc.ClientConn
	files *protoregistry.Files
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func check(holds bool, what ...interface{}) {
	if !holds {
		panic(fmt.Sprint(what...))
	}
}

func uuid7() string {
	var b [16]byte
	_, err := rand.Read(b[6:])
	must(err)
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(time.Now().UnixMilli()))
	copy(b[:6], ms[2:])
	b[6] = b[6]&15 | 0x70
	b[8] = b[8]&63 | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func (w *world) method(path string) protoreflect.MethodDescriptor {
	name := strings.ReplaceAll(path, "/", ".")
	d, err := w.files.FindDescriptorByName(protoreflect.FullName(name))
	must(err)
	return d.(protoreflect.MethodDescriptor)
}

func (w *world) message(name, json string) *dynamicpb.Message {
	d, err := w.files.FindDescriptorByName(protoreflect.FullName(name))
	must(err)
	m := dynamicpb.NewMessage(d.(protoreflect.MessageDescriptor))
	must(protojson.Unmarshal([]byte(json), m))
	return m
}

// The value at a path of field names; a number is an index.
func at(m proto.Message, path ...interface{}) protoreflect.Value {
	v := protoreflect.ValueOfMessage(m.ProtoReflect())
	for _, step := range path {
		switch s := step.(type) {
		case string:
			d := v.Message().Descriptor().Fields().ByName(protoreflect.Name(s))
			check(d != nil, "no field ", s)
			v = v.Message().Get(d)
		case int:
			v = v.List().Get(s)
		}
	}
	return v
}

func (w *world) try(path, json string) (*dynamicpb.Message, error) {
	d := w.method("holdfast.v1." + path)
	in := w.message(string(d.Input().FullName()), json)
	out := dynamicpb.NewMessage(d.Output())
	ctx, done := context.WithTimeout(context.Background(), patience)
	defer done()
	return out, w.conn.Invoke(ctx, "/holdfast.v1."+path, in, out)
}

func (w *world) call(path, json string) *dynamicpb.Message {
	out, err := w.try(path, json)
	must(err)
	return out
}

func (w *world) stream(path string) (grpc.ClientStream, protoreflect.MethodDescriptor) {
	d := w.method("holdfast.v1." + path)
	s, err := w.conn.NewStream(context.Background(), &grpc.StreamDesc{
		ClientStreams: d.IsStreamingClient(), ServerStreams: d.IsStreamingServer()},
		"/holdfast.v1."+path)
	must(err)
	return s, d
}

func lines(quantity int64) string {
	return fmt.Sprintf(`"lines": [{"sku": "go", "location": "main", "quantity": %d}]`, quantity)
}

const (
	outcomeDone, outcomeRefused = 1, 2
	stateCommitted              = 2
	patience                    = time.Minute
)

func health(w *world) {
	ctx, done := context.WithTimeout(context.Background(), patience)
	defer done()
	r, err := grpc_health_v1.NewHealthClient(w.conn).Check(ctx,
		&grpc_health_v1.HealthCheckRequest{})
	must(err)
	check(r.Status == grpc_health_v1.HealthCheckResponse_SERVING, r)
}

func stock(w *world) {
	w.call("StockAdminService/CreateStock", `{"sku": "go", "location": "main"}`)
	w.call("StockAdminService/AdjustStock", fmt.Sprintf(
		`{"operation_id": "%s", "sku": "go", "location": "main", "difference": %d}`,
		uuid7(), int64(1)<<40))
	r := w.call("StockReadService/GetStock", `{"stock": {"sku": "go", "location": "main"}}`)
	check(at(r, "cell", "available").Int() == 1<<40, r)
}

func hold(w *world) {
	id := uuid7()
	request := fmt.Sprintf(`{"reservation_id": "%s", %s, "ttl_ms": 60000}`, id, lines(1<<33))
	first := w.call("ReservationService/Reserve", request)
	check(at(first, "decision", "outcome").Enum() == outcomeDone, first)
	check(at(first, "decision", "durable").Bool(), first)
	again := w.call("ReservationService/Reserve", request)
	check(at(again, "decision", "repeat").Bool(), again)
	check(at(again, "decision", "position", "lsn").Uint() ==
		at(first, "decision", "position", "lsn").Uint(), again)
	end := w.call("ReservationService/Commit", fmt.Sprintf(`{"reservation_id": "%s"}`, id))
	check(at(end, "decision", "state").Enum() == stateCommitted, end)
	r := w.call("ReservationService/GetReservation", fmt.Sprintf(`{"reservation_id": "%s"}`, id))
	check(at(r, "reservation", "lines", 0, "quantity").Int() == 1<<33, r)
}

func short(w *world) {
	r := w.call("ReservationService/Order", fmt.Sprintf(`{"reservation_id": "%s", %s}`, uuid7(),
		lines(1<<50)))
	check(at(r, "decision", "outcome").Enum() == outcomeRefused, r)
	check(at(r, "decision", "lines", 0, "shortfall").Int() > 1<<49, r)
}

// The details of a failed call, as the library found them in its trailer, by their type.
func (w *world) fails(path, json string, code codes.Code) map[string]*dynamicpb.Message {
	_, err := w.try(path, json)
	check(status.Code(err) == code, err)
	found := map[string]*dynamicpb.Message{}
	for _, d := range status.Convert(err).Proto().GetDetails() {
		name := string(d.MessageName())
		found[name] = w.message(name, "{}")
		must(proto.Unmarshal(d.Value, found[name]))
	}
	return found
}

func errors(w *world) {
	d := w.fails("ReservationService/Reserve", fmt.Sprintf(
		`{"reservation_id": "%s", %s, "ttl_ms": 60000}`, uuid7(), lines(-1)), codes.InvalidArgument)
	field := at(d["google.rpc.BadRequest"], "field_violations", 0, "field").String()
	check(field == "lines[0].quantity", field)
	d = w.fails("ReservationService/GetReservation", fmt.Sprintf(`{"reservation_id": "%s"}`,
		uuid7()), codes.NotFound)
	reason := at(d["google.rpc.ErrorInfo"], "reason").String()
	check(reason == "UNKNOWN", reason)
}

func batches(w *world) {
	s, d := w.stream("ReservationService/ReserveStream")
	go func() {
		for i := 0; i < 1000; i += 10 {
			var items []string
			for k := i; k < i+10; k++ {
				items = append(items, fmt.Sprintf(
					`{"correlation_id": %d, "order": {"reservation_id": "%s", %s}}`, k, uuid7(),
					lines(1)))
			}
			must(s.SendMsg(w.message(string(d.Input().FullName()),
				`{"operations": [`+strings.Join(items, ",")+`]}`)))
		}
		must(s.CloseSend())
	}()
	got := uint64(0)
	for {
		m := dynamicpb.NewMessage(d.Output())
		err := s.RecvMsg(m)
		if err == io.EOF {
			break
		}
		must(err)
		results := at(m, "results").List()
		for i := 0; i < results.Len(); i++ {
			r := results.Get(i).Message().Interface()
			check(at(r, "correlation_id").Uint() == got, r)
			check(at(r, "decision", "outcome").Enum() == outcomeDone, r)
			got++
		}
	}
	check(got == 1000, got)
}

func watch(w *world) {
	s, d := w.stream("StockReadService/WatchStock")
	must(s.SendMsg(w.message(string(d.Input().FullName()),
		`{"stock": [{"sku": "go", "location": "main"}], "interval_ms": 10}`)))
	must(s.CloseSend())
	before, first := int64(0), true
	for {
		m := dynamicpb.NewMessage(d.Output())
		must(s.RecvMsg(m))
		cells := at(m, "cells").List()
		for i := 0; i < cells.Len(); i++ {
			available := at(cells.Get(i).Message().Interface(), "available").Int()
			if first {
				before, first = available, false
				w.call("ReservationService/Order", fmt.Sprintf(`{"reservation_id": "%s", %s}`,
					uuid7(), lines(7)))
			} else if available == before-7 {
				return
			}
		}
	}
}

func main() {
	packed, err := os.ReadFile(os.Args[2])
	must(err)
	var set descriptorpb.FileDescriptorSet
	must(proto.Unmarshal(packed, &set))
	files, err := protodesc.NewFiles(&set)
	must(err)
	conn, err := grpc.Dial(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(err)
	w := &world{conn, files}
	for _, t := range []struct {
		name string
		run  func(w *world)
	}{
		{"health says that it serves", health},
		{"stock is made and read", stock},
		{"a hold is repeated and committed", hold},
		{"what is short is told", short},
		{"errors carry their details", errors},
		{"a stream's messages are answered in order", batches},
		{"a watcher sees the snapshot, then the change", watch},
	} {
		t.run(w)
		fmt.Println("ok ", t.name)
	}
}
