// Package stack holds the tests of the stack's configuration: the compose file,
// Grafana's provisioning, and the files that Prometheus and Jaeger read in the
// compose stack and natively alike.
package stack
