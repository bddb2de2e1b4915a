/** Viewers' reports about recordings that users opened, searched, followed or exported, or tried to. */
import { disclosureSchema } from '../../disclosure.js';
import { endpoint, noAnswer, noParams } from '../../endpoint/endpoint.js';

export const reportDisclosure = endpoint({
  method: 'POST',
  path: '/v1/disclosures',
  summary: 'Report that a user viewed a recording or was refused: one audit row.',
  admits: ['viewer'],
  event: 'recording.disclose',
  params: noParams,
  body: disclosureSchema,
  answer: noAnswer,
  errors: [],
});

export const disclosureEndpoints = [reportDisclosure] as const;
