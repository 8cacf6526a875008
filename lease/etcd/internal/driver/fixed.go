//go:build !movable

package main

import "time"

// A clock of its own a program in Go has only when it is built for that; see command wall.
const movable = false

func move(time.Duration) {}
