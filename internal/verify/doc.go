// Package verify is a compliance suite for iSCSI disks, reservations above all,
// against any target: `nas-target verify`.
//
// A [Case] asks one question that a clause of a standard answers. It is
// described by values (name, clause, what the clause demands, how binding it
// is, what the case needs) and by a function that talks to the target through
// a [T]. All that is sent and all that comes back becomes a [Step] of the
// [Result], in words, so that a verdict can be explained and argued with.
//
// # Verdicts
//
//   - pass: the target did what the clause demands.
//   - fail: it did something else.
//   - error: the question was never reached, because a step before it, which
//     another case judges, did not go as it must, or the run was interrupted.
//   - skipped: the target announces that it does not have what is asked about,
//     or the run lacks what the case needs. Nothing passes by being absent.
//
// A command that is answered by a unit attention is sent again, as every
// driver does, and the record shows it; the cases about unit attentions look
// at them themselves. Where the standard leaves a choice, each of its answers
// passes.
//
// # What is left behind
//
// [Run] refuses a logical unit on which somebody else has registered, writes in
// one range only and puts back what was there. Each case has sessions of its
// own; when it ends, for whatever reason, they log out and a session of the
// run's removes what registrations it left. The keys of a run are recognised by
// their first bytes, so that those of a run that was killed are cleared by the
// next.
package verify
