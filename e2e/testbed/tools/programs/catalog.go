package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const image = "http://lorempixel.com/640/480"

type item struct {
	ID         int    `json:"id"`
	Color      string `json:"color"`
	Department string `json:"department"`
	Name       string `json:"name"`
	Price      string `json:"price"`
	ImageURL   string `json:"imageUrl,omitempty"`
}

// catalog is the book's: v1 lists items, v2 adds an image to each; failures and delays on request.
type catalog struct {
	version string
	items   []item

	mutex       sync.Mutex
	failPercent float64
	delayMs     float64
	healthy     bool
	blowup      *blowup
}

// blowup is what the book's /blowup takes: {"active": true, "type": "500" | "latency", "delayMs": n, "volatile": true}.
type blowup struct {
	Active   *bool    `json:"active"`
	Type     string   `json:"type"`
	DelayMs  *float64 `json:"delayMs"`
	Volatile bool     `json:"volatile"`
}

// runCatalog serves the catalog as VERSION, SHOW_IMAGE, FAIL_PERCENT and DELAY_MS say.
func runCatalog([]string) error {
	version := variable("VERSION", "v1")
	one := &catalog{version: version, items: items(variable("SHOW_IMAGE", strconv.FormatBool(version == "v2"))), healthy: true}
	for name, field := range map[string]*float64{"FAIL_PERCENT": &one.failPercent, "DELAY_MS": &one.delayMs} {
		var err error
		if *field, err = strconv.ParseFloat(variable(name, "0"), 64); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	application := http.NewServeMux()
	application.HandleFunc("GET /items", one.list)
	application.HandleFunc("GET /items/{id}", one.list)
	application.HandleFunc("POST /blowup", one.blowUp)
	control := http.NewServeMux()
	control.HandleFunc("GET /healthz", one.health)
	control.HandleFunc("POST /behaviour", one.change)
	return serve(application, control, "3000")
}

func items(showImage string) []item {
	found := []item{
		{ID: 1, Color: "amber", Department: "Eyewear", Name: "Elinor Glasses", Price: "282.00"},
		{ID: 2, Color: "cyan", Department: "Clothing", Name: "Atlas Shirt", Price: "127.00"},
		{ID: 3, Color: "teal", Department: "Clothing", Name: "Small Metal Shoes", Price: "232.00"},
		{ID: 4, Color: "red", Department: "Watches", Name: "Red Dragon Watch", Price: "232.00"},
	}
	if strings.EqualFold(showImage, "true") {
		for number := range found {
			found[number].ImageURL = image
		}
	}
	return found
}

func (c *catalog) list(w http.ResponseWriter, _ *http.Request) {
	delay, fails := c.fate()
	time.Sleep(delay)
	w.Header().Set("x-version", c.version)
	if fails {
		answer(w, http.StatusInternalServerError, map[string]string{"error": "blowup"})
		return
	}
	answer(w, http.StatusOK, c.items)
}

// fate decides how long a request takes and whether it fails; a volatile blowup spares half of them.
func (c *catalog) fate() (time.Duration, bool) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	delay, fails := c.delayMs, rand.Float64()*100 < c.failPercent
	if c.blowup != nil && (!c.blowup.Volatile || rand.Float64() < 0.5) {
		if c.blowup.Type == "latency" {
			delay += *c.blowup.DelayMs
		} else {
			fails = true
		}
	}
	return time.Duration(delay * float64(time.Millisecond)), fails
}

func (c *catalog) blowUp(w http.ResponseWriter, request *http.Request) {
	active, delay := true, 1000.0
	wish := blowup{Active: &active, Type: "500", DelayMs: &delay}
	if err := json.NewDecoder(request.Body).Decode(&wish); err != nil {
		answer(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.blowup = nil
	if *wish.Active {
		c.blowup = &wish
	}
	w.Header().Set("x-version", c.version)
	answer(w, http.StatusOK, map[string][]blowup{"blowups": {wish}})
}

func (c *catalog) health(w http.ResponseWriter, _ *http.Request) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if !c.healthy {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// change takes changes of behaviour that bypass the mesh.
func (c *catalog) change(w http.ResponseWriter, request *http.Request) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	wish := struct {
		FailPercent *float64 `json:"failPercent"`
		DelayMs     *float64 `json:"delayMs"`
		Healthy     *bool    `json:"healthy"`
	}{&c.failPercent, &c.delayMs, &c.healthy}
	if err := json.NewDecoder(request.Body).Decode(&wish); err != nil {
		answer(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	answer(w, http.StatusOK, struct{}{})
}
