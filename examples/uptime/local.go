package main

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// operator lets those act who ask from this machine: there is no password on the
// page, and it can be made to listen elsewhere. What a proxy on this machine passes on
// comes from it too, but not from somebody here.
func operator(r *http.Request) (actor string, ok bool) {
	forwarded := slices.ContainsFunc([]string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"}, func(name string) bool {
		return r.Header.Values(name) != nil
	})
	return "somebody on this machine", loopback(r.RemoteAddr) && !forwarded
}

// byLocalName refuses what is asked of a loopback address by another name than one of its
// own, as the live page does: a page of another site whose name suddenly means 127.0.0.1
// is, to the browser, the same site.
func byLocalName(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		if ok && loopback(local.String()) && !localName(r.Host) {
			http.Error(w, "this is served on a loopback address, and answers to loopback names only", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func localName(host string) bool {
	if loopback(host) {
		return true
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// loopback reports whether addr, with or without a port, is a loopback address.
func loopback(addr string) bool {
	if a, err := netip.ParseAddrPort(addr); err == nil {
		return a.Addr().Unmap().IsLoopback()
	}
	a, err := netip.ParseAddr(strings.Trim(addr, "[]"))
	return err == nil && a.Unmap().IsLoopback()
}
