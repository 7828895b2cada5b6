package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// endpoints knows the ready endpoints of a Service, as an ingress controller does.
type endpoints struct {
	mutex  sync.Mutex
	slices map[string][]string
	known  chan struct{}
	once   sync.Once
}

type endpointSlice struct {
	Metadata struct {
		Name            string `json:"name"`
		ResourceVersion string `json:"resourceVersion"`
	} `json:"metadata"`
	Ports     []struct{ Port int } `json:"ports"`
	Endpoints []struct {
		Addresses  []string
		Conditions struct{ Ready bool }
	} `json:"endpoints"`
}

// follower asks the API server for the EndpointSlices of one Service.
type follower struct {
	client *http.Client
	path   string
	token  string
	found  *endpoints
}

// followEndpoints keeps the endpoints of a Service up to date; it returns when some are known, or after 5 s.
func followEndpoints(stop context.Context, options loadOptions) (*endpoints, error) {
	namespace, service, _ := strings.Cut(options.service, "/")
	authority, err := os.ReadFile(options.authority)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	path := "%s/apis/discovery.k8s.io/v1/namespaces/%s/endpointslices?labelSelector=kubernetes.io%%2Fservice-name%%3D%s"
	one := &follower{
		client: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}},
		path:   fmt.Sprintf(path, options.server, namespace, service),
		token:  options.token,
		found:  &endpoints{slices: map[string][]string{}, known: make(chan struct{})},
	}
	go one.follow(stop)
	select {
	case <-one.found.known:
	case <-stop.Done():
	case <-time.After(firstEndpointTime):
	}
	return one.found, nil
}

// follow lists and watches, again after each watch that ends.
func (f *follower) follow(stop context.Context) {
	for stop.Err() == nil {
		if f.listAndWatch(stop) != nil {
			time.Sleep(200 * time.Millisecond)
		}
	}
}

func (f *follower) listAndWatch(stop context.Context) error {
	var listed struct {
		Metadata struct{ ResourceVersion string }
		Items    []endpointSlice
	}
	if err := f.read(stop, "", func(decoder *json.Decoder) error { return decoder.Decode(&listed) }); err != nil {
		return err
	}
	f.found.replace(listed.Items)
	return f.read(stop, "&watch=1&resourceVersion="+listed.Metadata.ResourceVersion, f.take)
}

// take handles the events of one watch.
func (f *follower) take(decoder *json.Decoder) error {
	for {
		var event struct {
			Type   string
			Object endpointSlice
		}
		if err := decoder.Decode(&event); err != nil {
			return err
		}
		if event.Type == "ERROR" {
			return fmt.Errorf("the watch ended")
		}
		f.found.change(event.Type, event.Object)
	}
}

func (f *follower) read(stop context.Context, query string, handle func(*json.Decoder) error) error {
	request, err := http.NewRequestWithContext(stop, http.MethodGet, f.path+query, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+f.token)
	answer, err := f.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the API server answered %s", answer.Status)
	}
	return handle(json.NewDecoder(answer.Body))
}

func (e *endpoints) replace(listed []endpointSlice) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	clear(e.slices)
	for _, one := range listed {
		e.put(one)
	}
}

func (e *endpoints) change(kind string, one endpointSlice) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	if kind == "DELETED" {
		delete(e.slices, one.Metadata.Name)
		return
	}
	e.put(one)
}

func (e *endpoints) put(one endpointSlice) {
	port := 80
	if len(one.Ports) > 0 {
		port = one.Ports[0].Port
	}
	var ready []string
	for _, endpoint := range one.Endpoints {
		if endpoint.Conditions.Ready {
			for _, address := range endpoint.Addresses {
				ready = append(ready, fmt.Sprintf("%s:%d", address, port))
			}
		}
	}
	e.slices[one.Metadata.Name] = ready
	if len(ready) > 0 {
		e.once.Do(func() { close(e.known) })
	}
}

// pick returns a random ready endpoint as host:port, or nothing.
func (e *endpoints) pick() string {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	var everyone []string
	for _, ready := range e.slices {
		everyone = append(everyone, ready...)
	}
	if len(everyone) == 0 {
		return ""
	}
	return everyone[rand.IntN(len(everyone))]
}
