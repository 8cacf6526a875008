// Package migrating has the programs of docs/migrating.md, before and after: what a page
// says of somebody's library must compile against it, and do the same.
package migrating
