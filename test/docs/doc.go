// Package docs runs the commands that the documentation tells people to type,
// so that none of them is wrong for long.
//
// Every shell block of README.md, CONTRIBUTING.md, SECURITY.md, docs/*.md and
// docs/guides/*.md says in the word behind "sh" what becomes of it:
//
//	sh serve      starts a daemon that the blocks after it, up to the next
//	              serve block of the file, talk to; it runs from the top of the
//	              repository with a data directory of its own
//	sh run        each line must succeed, in order, from the top of the repository
//	sh self       what runs this very test (make test)
//	sh elsewhere  cannot run in a test; the text right before the block must
//	              contain the words "not run here"
//
// A block without such a word fails the test. nas-target is in the PATH, built
// from this tree.
package docs
