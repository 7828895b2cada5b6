package main

import (
	"io"
	"net/http"
	"strings"
	"time"
)

const catalogDeadline = 15 * time.Second

var forwardedPrefixes = []string{"x-", "b3", "traceparent", "tracestate", "cookie", "authorization", "user-agent"}

// Each hop's own Envoy writes these; sent on they would speak for another hop.
var notForwarded = map[string]bool{"x-forwarded-proto": true, "x-envoy-peer-metadata": true, "x-testbed-peer": true}

// runWebapp serves the book's webapp: /api/catalog asks catalog and passes headers on, both ways.
func runWebapp([]string) error {
	url := variable("CATALOG_URL", "http://catalog."+variable("POD_NAMESPACE", "istioinaction")+":80") + "/items"
	client := &http.Client{Timeout: catalogDeadline, Transport: &http.Transport{
		MaxIdleConnsPerHost: 100, DisableCompression: true,
	}}
	application := http.NewServeMux()
	application.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "webapp") })
	application.HandleFunc("GET /api/catalog", func(w http.ResponseWriter, request *http.Request) {
		askCatalog(client, url, w, request)
	})
	control := http.NewServeMux()
	control.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	return serve(application, control, "8080")
}

func askCatalog(client *http.Client, url string, w http.ResponseWriter, request *http.Request) {
	asked, err := http.NewRequestWithContext(request.Context(), http.MethodGet, url, nil)
	if err != nil {
		answer(w, http.StatusBadGateway, map[string]string{"error": "catalog: " + err.Error()})
		return
	}
	asked.Header = forwarded(request.Header)
	found, err := client.Do(asked)
	if err != nil {
		answer(w, http.StatusBadGateway, map[string]string{"error": "catalog: " + err.Error()})
		return
	}
	defer found.Body.Close()
	for _, name := range []string{"x-version", "Content-Type"} {
		if value := found.Header.Get(name); value != "" {
			w.Header().Set(name, value)
		}
	}
	w.WriteHeader(found.StatusCode)
	_, _ = io.Copy(w, found.Body)
}

// forwarded returns the headers that belong to the customer's request as a whole.
func forwarded(headers http.Header) http.Header {
	found := http.Header{}
	for name, values := range headers {
		lower := strings.ToLower(name)
		for _, prefix := range forwardedPrefixes {
			if strings.HasPrefix(lower, prefix) && !notForwarded[lower] {
				found[name] = values
			}
		}
	}
	return found
}
