// Package leasetest helps to test stores of leases, and programs that use leases.
//
// [TestStore] is the suite that every lease.Store has to pass. [Memory] is an engine in
// memory whose connections can be cut, delayed and made to lose answers. A [Witness]
// notices when bodies overlap that must not, and refuses stale writes.
package leasetest
