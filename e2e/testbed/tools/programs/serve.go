package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

const shutdownTime = 2 * time.Second

// serve answers customers on PORT and the node on HEALTH_PORT until a signal, then lets running requests finish.
func serve(application, control http.Handler, defaultPort string) error {
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	failed := make(chan error, 2)
	var servers []*http.Server
	// Health answers only when the application already does.
	for _, one := range []struct {
		port    string
		handler http.Handler
	}{{variable("PORT", defaultPort), application}, {variable("HEALTH_PORT", "15020"), control}} {
		listener, err := net.Listen("tcp4", "0.0.0.0:"+one.port)
		if err != nil {
			return err
		}
		server := &http.Server{Handler: one.handler}
		servers = append(servers, server)
		go func() { failed <- server.Serve(listener) }()
	}
	select {
	case err := <-failed:
		return err
	case <-stop.Done():
	}
	patience, end := context.WithTimeout(context.Background(), shutdownTime)
	defer end()
	for _, server := range servers {
		if err := server.Shutdown(patience); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
	return nil
}

// variable returns what the file holds that NAME_FILE names, else an environment variable, else its default.
func variable(name, otherwise string) string {
	if path, found := os.LookupEnv(name + "_FILE"); found {
		content, err := os.ReadFile(path)
		if err != nil {
			panic(err) // As an application that cannot start.
		}
		return strings.TrimSpace(string(content))
	}
	if value, found := os.LookupEnv(name); found {
		return value
	}
	return otherwise
}

// answer writes a value as JSON.
func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}
