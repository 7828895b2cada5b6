package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"io"
	"math"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	maxInFlight       = 1000
	firstEndpointTime = 5 * time.Second
)

// loadOptions say what is sent, how fast and how long.
type loadOptions struct {
	url         string
	service     string
	path        string
	server      string
	authority   string
	token       string
	identity    string
	output      string
	rate        float64
	seconds     float64
	timeout     float64
	maxRequests int
	visitors    int
	headers     headers
}

// headers collect NAME=VALUE options.
type headers map[string]string

func (h headers) String() string { return "" }

func (h headers) Set(text string) error {
	name, value, _ := strings.Cut(text, "=")
	h[name] = value
	return nil
}

// record is one request with its outcome: status 0 means that no answer came, then Error says why.
type record struct {
	At      float64 `json:"at"`
	Ms      float64 `json:"ms"`
	Status  int     `json:"status"`
	Version string  `json:"version"`
	Error   string  `json:"error"`
	URL     string  `json:"url"`
	// Visitor is who asked, and Cookies are what it has after the answer.
	Visitor int               `json:"visitor"`
	Cookies map[string]string `json:"cookies"`
}

// caller sends the requests of one load and writes a line for each.
type caller struct {
	clients []*http.Client
	options loadOptions
	resolve func() string
	mutex   sync.Mutex
	output  *bufio.Writer
}

// runLoad sends requests at a fixed rate whatever the answers take.
func runLoad(arguments []string) error {
	options := loadOptions{headers: headers{}}
	flags := flag.NewFlagSet("load", flag.ExitOnError)
	flags.StringVar(&options.url, "url", "", "call through the mesh, connections kept open")
	flags.StringVar(&options.service, "service", "", "NAMESPACE/NAME: call its ready endpoints, a new connection each")
	flags.StringVar(&options.path, "path", "/", "path asked for, with --service")
	flags.StringVar(&options.server, "server", "", "URL of the API server, with --service")
	flags.StringVar(&options.authority, "authority", "", "certificate of the API server, with --service")
	flags.StringVar(&options.token, "token", "", "token for the API server, with --service")
	flags.StringVar(&options.identity, "identity", "", "file with certificate and key to show to who asks for them")
	flags.StringVar(&options.output, "output", "", "file of records, one JSON object a line")
	flags.Float64Var(&options.rate, "rate", 1, "requests per second")
	flags.Float64Var(&options.seconds, "seconds", 1, "how long")
	flags.Float64Var(&options.timeout, "timeout", 10, "seconds one request may take")
	flags.IntVar(&options.maxRequests, "max-requests", 1, "how many at most")
	flags.IntVar(&options.visitors, "visitors", 0, "callers who take turns, each with cookies of its own")
	flags.Var(options.headers, "header", "NAME=VALUE")
	_ = flags.Parse(arguments)

	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	file, err := os.OpenFile(options.output, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	one, err := newCaller(options, file)
	if err != nil {
		return err
	}
	if options.service != "" {
		known, err := followEndpoints(stop, options)
		if err != nil {
			return err
		}
		one.resolve = func() string {
			if endpoint := known.pick(); endpoint != "" {
				return "http://" + endpoint + options.path
			}
			return ""
		}
	}
	one.callUntil(stop)
	return nil
}

func newCaller(options loadOptions, output io.Writer) (*caller, error) {
	transport := &http.Transport{
		DisableKeepAlives: options.service != "", DisableCompression: true, MaxIdleConnsPerHost: maxInFlight,
	}
	if options.identity != "" {
		shown, err := tls.LoadX509KeyPair(options.identity, options.identity)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = &tls.Config{Certificates: []tls.Certificate{shown}}
	}
	clients := make([]*http.Client, max(1, options.visitors))
	for visitor := range clients {
		clients[visitor] = &http.Client{
			Timeout:       time.Duration(options.timeout * float64(time.Second)),
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
		if options.visitors > 0 {
			clients[visitor].Jar, _ = cookiejar.New(nil)
		}
	}
	return &caller{
		clients: clients,
		options: options,
		resolve: func() string { return options.url },
		output:  bufio.NewWriter(output),
	}, nil
}

// callUntil starts requests on time until told to stop, or all were sent; then it lets them end.
func (c *caller) callUntil(stop context.Context) {
	began := time.Now()
	count := min(c.options.maxRequests, int(c.options.seconds*c.options.rate))
	slots := make(chan struct{}, maxInFlight)
	var running sync.WaitGroup
	defer running.Wait()
	for number := range count {
		due := began.Add(time.Duration(float64(number) / c.options.rate * float64(time.Second)))
		select {
		case <-stop.Done():
			return
		case <-time.After(time.Until(due)):
		}
		select {
		case slots <- struct{}{}:
			running.Go(func() {
				c.call(c.resolve(), number%len(c.clients))
				<-slots
			})
		default: // Too many wait for an answer already.
		}
	}
}

func (c *caller) call(url string, visitor int) {
	began := time.Now()
	found := record{At: float64(began.UnixMicro()) / 1e6, Visitor: visitor, Cookies: map[string]string{}}
	if url == "" {
		found.Error = "no ready endpoint"
	} else if err := c.ask(url, &found); err != nil {
		found.Error, found.URL = err.Error(), url
	}
	found.Ms = math.Round(float64(time.Since(began).Microseconds())/10) / 100
	line, _ := json.Marshal(found)
	c.mutex.Lock()
	defer c.mutex.Unlock()
	// Whole lines at once: the parent reads while we write.
	_, _ = c.output.Write(append(line, '\n'))
	_ = c.output.Flush()
}

func (c *caller) ask(url string, found *record) error {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	for name, value := range c.options.headers {
		request.Header.Set(name, value)
	}
	if host := c.options.headers["Host"]; host != "" {
		request.Host = host
	}
	client := c.clients[found.Visitor]
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	found.Status, found.Version = answer.StatusCode, answer.Header.Get("x-version")
	if client.Jar != nil {
		for _, one := range client.Jar.Cookies(request.URL) {
			found.Cookies[one.Name] = one.Value
		}
	}
	return nil
}
