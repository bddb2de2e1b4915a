/** SIEM destinations: documents of administrators, which analyzers read with their secrets. */
import { z } from 'zod';
import { siemName, siemSchema } from '../../documents/siem.js';
import { endpoint, noAnswer, noBody, noParams } from '../../endpoint/endpoint.js';
import { list, record } from '../../endpoint/fields.js';

const params = z.strictObject({ name: siemName });

export const listSiemDestinations = endpoint({
  method: 'GET',
  path: '/v1/siem-destinations',
  summary: 'List the destinations of a SIEM; secrets are named, not shown.',
  admits: ['administer'],
  event: 'siem.list',
  params: noParams,
  body: noBody,
  answer: list(siemSchema),
  errors: [],
});

export const putSiemDestination = endpoint({
  method: 'PUT',
  path: '/v1/siem-destinations/:name',
  summary: 'Put a destination of a SIEM: analyzers begin to send to it, or go on under the new terms.',
  admits: ['administer'],
  event: 'siem.put',
  params,
  body: siemSchema,
  answer: siemSchema,
  errors: ['TOO_MANY'],
});

export const deleteSiemDestination = endpoint({
  method: 'DELETE',
  path: '/v1/siem-destinations/:name',
  summary: 'Delete a destination of a SIEM: nothing more is sent to it.',
  admits: ['administer'],
  event: 'siem.delete',
  params,
  body: noBody,
  answer: noAnswer,
  errors: ['NOT_FOUND'],
});

export const readSiemSet = endpoint({
  method: 'POST',
  path: '/v1/siem-set',
  summary: 'Every destination of a SIEM with its secrets. The watch tells when there is another set.',
  admits: ['analyzer'],
  event: 'siem.read_set',
  params: noParams,
  body: noBody,
  answer: list(
    record({
      document: siemSchema,
      token: z.string().nullable(),
      key: z.string().nullable(),
      /** Why a secret that the document names cannot be read; nothing is then sent to the destination. */
      lacking: z.string().nullable(),
    }),
  ),
  errors: [],
});

export const siemEndpoints = [listSiemDestinations, putSiemDestination, deleteSiemDestination, readSiemSet] as const;
