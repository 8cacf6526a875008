package main

// excuses are the questions that a run of the demo app cannot answer, and why.
// The alerts among them are made to fire in rules/tests.
var excuses = map[string]string{}
