-- Whose a flow log is, where it was made, and in whose time.
--
-- Times named `..._there` are the provider's: its `Date`, carried on by this machine's steady clock. They can be
-- compared with a flow log's `created_at`, whatever this machine's clock says. NULL: not known.

ALTER TABLE row ADD COLUMN sent_there REAL; -- the earliest moment at which the row was first sent in this run
ALTER TABLE row ADD COLUMN told_there REAL; -- when it last left, or the provider last told of it: nothing of it was made much later
ALTER TABLE row ADD COLUMN made INTEGER; -- 1: a request of this run made `remote_id`; 0: somebody else did

ALTER TABLE known ADD COLUMN deleted_id TEXT; -- the flow log that this ledger has deleted last: it may be listed yet

ALTER TABLE lane ADD COLUMN er_endpoint TEXT NOT NULL DEFAULT ''; -- where the lane's run was planned to be done
ALTER TABLE lane ADD COLUMN iam_endpoint TEXT NOT NULL DEFAULT '';
ALTER TABLE lane ADD COLUMN lts_endpoint TEXT NOT NULL DEFAULT '';
ALTER TABLE lane ADD COLUMN tenant TEXT NOT NULL DEFAULT ''; -- whose credentials: never a secret

-- One line: what tells this ledger from any other, in the ids of its runs and in their report folders.
CREATE TABLE identity (
    ledger_id TEXT NOT NULL
) STRICT;
