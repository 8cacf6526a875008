package main

func Example() {
	main()
	// Output: hello, at attempt 3
}
