// Package parity holds tests that compare what promsub and otelsub say of the same
// supervisor: the same metrics, under the same names once Prometheus has received
// both, with the same values.
package parity
