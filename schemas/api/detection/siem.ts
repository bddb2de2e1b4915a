/** SIEM destinations: documents of administrators, which analyzers read with their secrets. */
import { z } from 'zod';
import { siemName, siemSchema } from '../../documents/siem.js';
import { endpoint, noAnswer, noBody, noParams } from '../../endpoint/endpoint.js';
import { list, record } from '../../endpoint/fields.js';

const params = z.strictObject({ name: siemName });

export const listSiemDestinations = endpoint({
  method: 'GET',
  path: '/v1/siem-destinations',
  summary: 'List SIEM destinations; secrets are named, not shown.',
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
  summary: 'Create or replace a SIEM destination: analyzers begin to send to it, or continue with the new settings.',
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
  summary: 'Delete a SIEM destination: nothing more is sent to it.',
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
  summary: 'List every SIEM destination with its secrets. The watch announces changes.',
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
