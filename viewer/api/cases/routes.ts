/**
 * The routes of findings, cases and notes. Changes to them are relayed to the authority (../front/relay.ts). Tested in
 * test/cases/visibility.test.ts.
 */
import { makeNoteTicket } from '#schemas/api/cases/notes.js';
import { listCases, listNotes, reviewCase, showCase, showNoteTicket } from '#schemas/api/cases/workbench.js';
import { findingRoutes } from '../findings/routes.js';
import { sourceAddress } from '../http/guard.js';
import { parseSessionId } from '../http/query.js';
import type { Serving } from '../http/serve.js';
import { StenoError } from '#schemas/base/errors.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { asViewer, caseFor, headsFor, notesFor } from './book.js';
import { makeReview, reviewTypes } from './review.js';
import type { ReviewParts } from './review.js';

const REVIEWS_AT_A_TIME = 2;

export function findingAndCaseRoutes(serving: Serving, given: Omit<ReviewParts, 'findings'>): void {
  const parts: ReviewParts = { ...given, findings: findingRoutes(serving, given) };
  let making = 0;
  serving.signedIn(listCases, (viewer, { query }) => headsFor(parts, viewer, query.state));
  serving.signedIn(showCase, (viewer, { params }) => caseFor(parts, viewer, params.id));
  serving.signedIn(listNotes, (viewer, { request, params }) => notesFor(parts, viewer, sourceAddress(request), parseSessionId(params.id)));
  serving.signedIn(showNoteTicket, async (viewer, { request, params }) => {
    const { session } = await parts.sessions.row({ viewer, action: 'view', source: sourceAddress(request) }, parseSessionId(params.id));
    return call(asViewer(parts), makeNoteTicket, { body: { user: viewer.user, session } });
  });
  serving.signedIn(reviewCase, async (viewer, { request, reply, params, query: { format } }) => {
    if (making >= REVIEWS_AT_A_TIME) throw new StenoError('TOO_MANY', 'exports of cases at a time');
    making += 1;
    try {
      const text = await makeReview(parts, { viewer, source: sourceAddress(request), id: params.id, format });
      return await reply
        .header('content-disposition', `attachment; filename="${params.id}.${format}"`)
        .type(reviewTypes[format])
        .send(text);
    } finally {
      making -= 1;
    }
  });
}
