// Package taskvisortest helps to test programs that use taskvisor and
// subscribers that plug into it.
//
// [Start] gives a test a running supervisor that ends with the test, and a
// [Recorder] of all that happened. [Script] makes tasks that fail, panic, hang
// or succeed as told. The trace of a task is then the assertion:
//
//	func TestRetries(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			sup, rec := taskvisortest.Start(t)
//			h, err := sup.Add(t.Context(), taskvisor.Restartable("mail", taskvisortest.Script(
//				taskvisortest.Fail(errors.New("refused")),
//				taskvisortest.Succeed(),
//			)))
//			if err != nil {
//				t.Fatal(err)
//			}
//			h.Wait(t.Context())
//			synctest.Wait()
//			if got, want := rec.Trace("mail"), "A S ✗ B S ✓ E D"; got != want {
//				t.Errorf("trace %q, want %q", got, want)
//			}
//		})
//	}
//
// [TestSubscriber] runs any implementation of [taskvisor.Subscribe] through
// everything that a supervisor can do to it.
//
// Everything here works in a bubble of testing/synctest, where delays take no
// time, and that is where it is best used.
package taskvisortest
