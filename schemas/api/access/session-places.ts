/** Session slots, which gateways take so that `max_sessions` holds across all gateways (session-place.ts). */
import { z } from 'zod';
import { endpoint, noParams } from '../../endpoint/endpoint.js';
import { record } from '../../endpoint/fields.js';
import { placeReport, placeRequest } from '../../session-place.js';

/** `known`: whether the run was known before this message. */
const known = record({ known: z.boolean() });

export const takeSessionPlace = endpoint({
  method: 'POST',
  path: '/v1/session-places',
  summary: 'Take a session slot for a connection of a user whose roles limit them.',
  admits: ['gateway'],
  event: 'session_place.take',
  params: noParams,
  body: placeRequest,
  answer: known,
  errors: ['SESSIONS_TOO_MANY'],
});

export const reportSessionPlaces = endpoint({
  method: 'PUT',
  path: '/v1/session-places',
  summary: 'Report connections that began and ended at the calling gateway.',
  admits: ['gateway'],
  event: 'session_place.tell',
  params: noParams,
  body: placeReport,
  answer: known,
  errors: [],
});

export const sessionPlaceEndpoints = [takeSessionPlace, reportSessionPlaces] as const;
