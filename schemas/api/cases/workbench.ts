/** Viewers' endpoints for notes and cases: the authority's data, completed from the stores and restricted to what the caller may view. */
import { z } from 'zod';
import { caseStates } from '../../documents/case.js';
import { noBody, noParams, noQuery, viewerEndpoint } from '../../endpoint/endpoint.js';
import { list, moment, record } from '../../endpoint/fields.js';
import { severities } from '../../events/rows.js';
import { sessionInfo } from '../recordings/sessions.js';
import { caseHead } from './cases.js';
import { note, noteTicket } from './notes.js';

const timelineKinds = ['started', 'ended', 'moment', 'finding', 'search', 'note', 'history'] as const;

/** One line of the timeline of a case. */
const timelineEntry = record({
  kind: z.enum(timelineKinds),
  /** Wall clock; for a search, the time at which it was added. */
  at: moment,
  /** Id of the item, for removing it; '' for entries of a session or of the case's history. */
  item: z.string(),
  /** '' if it belongs to no session. */
  session: z.string(),
  /** Session time in ms; null if there is none. */
  offset: z.number().nullable(),
  /** The title of a finding, the query of a search, or the act of a history entry. */
  title: z.string(),
  /** Text that somebody wrote, or the reason why a rule matched. */
  text: z.string(),
  by: z.string(),
  severity: z.enum(severities).or(z.literal('')),
  /** Path of the page that opens it; null if there is nothing to open. */
  link: z.string().nullable(),
});
export type TimelineEntry = z.output<typeof timelineEntry>;

const caseView = record({
  head: caseHead,
  summary: z.string(),
  /** By wall clock. */
  timeline: list(timelineEntry),
  /** Sessions that the timeline is about. */
  sessions: list(sessionInfo),
  /** Number of items that the caller may not view or that are no longer stored. */
  hidden: z.int(),
});
export type CaseView = z.output<typeof caseView>;

const params = z.strictObject({ id: z.string() });

export const listCases = viewerEndpoint({
  method: 'GET',
  path: '/api/cases',
  summary: 'List cases, the last changed first.',
  admits: ['user'],
  params: noParams,
  query: z.strictObject({ state: z.enum([...caseStates, 'all', 'unsettled']).default('unsettled') }),
  body: noBody,
  answer: list(caseHead),
  errors: [],
});

export const showCase = viewerEndpoint({
  method: 'GET',
  path: '/api/cases/:id',
  summary: 'Show a case with its timeline, as far as the caller may view its items.',
  admits: ['user'],
  params,
  query: noQuery,
  body: noBody,
  answer: caseView,
  errors: ['NOT_FOUND', 'QUERY_TOO_HEAVY'],
});

export const listNotes = viewerEndpoint({
  method: 'GET',
  path: '/api/sessions/:id/notes',
  summary: 'List the notes on a session, in its order.',
  admits: ['user'],
  params,
  query: noQuery,
  body: noBody,
  answer: list(note),
  errors: ['SESSION_UNKNOWN', 'QUERY_TOO_HEAVY'],
});

export const showNoteTicket = viewerEndpoint({
  method: 'GET',
  path: '/api/sessions/:id/note-ticket',
  summary: 'Get a ticket with which the caller, who may view the session, writes notes on it.',
  admits: ['user'],
  params,
  query: noQuery,
  body: noBody,
  answer: noteTicket,
  errors: ['SESSION_UNKNOWN', 'QUERY_TOO_HEAVY'],
});

const reviewFormats = ['md', 'html'] as const;
export type ReviewFormat = (typeof reviewFormats)[number];

export const reviewCase = viewerEndpoint({
  method: 'GET',
  path: '/api/cases/:id/review',
  summary: 'Export a case: its timeline, with pictures of the screens of sessions that the caller may export.',
  admits: ['user'],
  params,
  query: z.strictObject({ format: z.enum(reviewFormats).default('html') }),
  body: noBody,
  answer: z.string(),
  media: 'text/plain',
  errors: ['NOT_FOUND', 'TOO_MANY', 'QUERY_TOO_HEAVY'],
});

export const workbenchEndpoints = [listCases, showCase, listNotes, showNoteTicket, reviewCase] as const;
