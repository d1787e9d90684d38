// Command podtargets is Prometheus' own service discovery of pods, by itself: Debian's Prometheus is built without it.
// It writes what `kubernetes_sd_configs` of role pod would find to a file that `file_sd_configs` reads, with the same
// meta labels.
//
//	podtargets API_SERVER CA_FILE TOKEN_FILE OUTPUT.json
package main

import (
	"context"
	"encoding/json"
	"log"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/kubernetes"
	"github.com/prometheus/prometheus/discovery/targetgroup"
)

type group struct {
	Targets []string       `json:"targets"`
	Labels  model.LabelSet `json:"labels"`
}

func discoverer(server, authority, token string) discovery.Discoverer {
	address, err := url.Parse(server)
	if err != nil {
		log.Fatal(err)
	}
	settings := kubernetes.DefaultSDConfig
	settings.Role = kubernetes.RolePod
	settings.APIServer = config.URL{URL: address}
	settings.HTTPClientConfig.TLSConfig.CAFile = authority
	settings.HTTPClientConfig.Authorization = &config.Authorization{Type: "Bearer", CredentialsFile: token}
	registry := prometheus.NewRegistry()
	refresh := discovery.NewRefreshMetrics(registry)
	metrics := settings.NewDiscovererMetrics(registry, refresh)
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	found, err := settings.NewDiscoverer(discovery.DiscovererOptions{Logger: logger, Metrics: metrics})
	if err != nil {
		log.Fatal(err)
	}
	return found
}

// groups has a group of its own for each target: in the file labels belong to groups.
func groups(known map[string]*targetgroup.Group) []group {
	every := []group{}
	for _, one := range known {
		for _, target := range one.Targets {
			labels := one.Labels.Merge(target)
			delete(labels, model.AddressLabel)
			every = append(every, group{[]string{string(target[model.AddressLabel])}, labels})
		}
	}
	return every
}

func write(path string, every []group) {
	text, err := json.Marshal(every)
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(path+".new", text, 0o644); err != nil {
		log.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		log.Fatal(err)
	}
}

func main() {
	if len(os.Args) != 5 {
		log.Fatal("expected API_SERVER CA_FILE TOKEN_FILE OUTPUT.json")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	updates := make(chan []*targetgroup.Group)
	go discoverer(os.Args[1], os.Args[2], os.Args[3]).Run(ctx, updates)
	known := map[string]*targetgroup.Group{}
	for {
		select {
		case <-ctx.Done():
			return
		case changed := <-updates:
			for _, one := range changed {
				known[one.Source] = one
			}
			write(os.Args[4], groups(known))
		}
	}
}
