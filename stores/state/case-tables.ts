/** The tables of notes, cases and saved searches; moments and JSON are as in schema.ts. */
import type { SavedLanguage } from '#schemas/api/cases/saved-searches.js';
import type { CaseChange, CaseItemKind, CaseState } from '#schemas/documents/case.js';

type Moment = number;
type Json = string;

/** A note on a moment of a session, or on the whole session. */
interface NoteTable {
  id: string;
  session: string;
  /** Session time in ms; null: the whole session. */
  offset_ms: number | null;
  text: string;
  created_by: string;
  created_at: Moment;
  /** Both are set if the note was removed; it is no longer shown. */
  removed_by: string | null;
  removed_at: Moment | null;
}

interface CaseTable {
  id: string;
  title: string;
  summary: string;
  state: CaseState;
  assignee: string | null;
  created_by: string;
  created_at: Moment;
  updated_at: Moment;
  /** The request to close it: `{by, at, reason}`. */
  closing: Json | null;
  /** The sign-off: `{by, at}`. */
  signed: Json | null;
}

interface CaseItemTable {
  id: string;
  case: string;
  /** Counts from 1 in each case. */
  position: number;
  kind: CaseItemKind;
  session: string;
  offset_ms: number | null;
  finding: string;
  query: string;
  note: string;
  added_by: string;
  added_at: Moment;
  removed_by: string | null;
  removed_at: Moment | null;
}

/** History of a case, in order. */
interface CaseHistoryTable {
  case: string;
  /** Counts from 1 in each case. */
  version: number;
  at: Moment;
  by: string;
  kind: CaseChange;
  text: string;
}

interface SavedSearchTable {
  id: string;
  owner: string;
  /** Unique among its owner's searches. */
  name: string;
  /** Language of the query; SQL queries cannot be scheduled. */
  language: SavedLanguage;
  query: string;
  /** 0 or 1. */
  shared: number;
  /** Grows with each change; an answer to a run of an older version is discarded. */
  version: number;
  created_at: Moment;
  updated_at: Moment;
  /** Null if it has no schedule; then the next three are null too. */
  every_ms: number | null;
  /** Rows from before this moment are not announced. */
  since: Moment | null;
  next_at: Moment | null;
  /** Start of the last run that was answered. */
  ran_at: Moment | null;
  /** Number of announced hits. */
  told: number;
  /** Why the last run failed; '' if it succeeded. */
  error: string;
}

/** An announced hit, so that it is not announced again. */
interface SavedSearchHitTable {
  search: string;
  /** SHA-256 of the row's identity, lower-case hex. */
  hit: string;
  /** Time of the row: once it is older than any run looks back, it is deleted. */
  at: Moment;
}

/** A viewer's statement that this user may view this session. */
interface NoteTicketTable {
  /** SHA-256 of the ticket, lower-case hex. */
  hash: string;
  user: string;
  session: string;
  expires_at: Moment;
}

export interface CaseTables {
  notes: NoteTable;
  cases: CaseTable;
  case_items: CaseItemTable;
  case_history: CaseHistoryTable;
  saved_searches: SavedSearchTable;
  saved_search_hits: SavedSearchHitTable;
  note_tickets: NoteTicketTable;
}
