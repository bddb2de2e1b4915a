/** The OpenAPI 3.1 document of the declared endpoints: docs/openapi.json. Tested in api.test.ts and test/architecture/openapi.test.ts. */
import { z } from 'zod';
import { errorCatalogue } from '../base/errors.js';
import type { ErrorCode } from '../base/errors.js';
import { accessReviewEndpoints } from './access-reviews.js';
import { commonErrors, noAnswer, noBody } from './endpoint.js';
import type { Endpoint } from './endpoint.js';
import { kubeClusterEndpoints } from './kube-clusters.js';
import { sessionNoticeEndpoints } from './session-notices.js';
import { joinTokenEndpoints } from './join-tokens.js';
import { liveSessionEndpoints } from './live-sessions.js';
import { serviceEndpoints } from './services.js';

export const endpoints: readonly Endpoint[] = [
  ...accessReviewEndpoints,
  ...joinTokenEndpoints,
  ...liveSessionEndpoints,
  ...kubeClusterEndpoints,
  ...serviceEndpoints,
  ...sessionNoticeEndpoints,
];

export function openApi(list: readonly Endpoint[] = endpoints): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const one of list) {
    const path = one.path.replace(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [one.method.toLowerCase()]: operation(one) };
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Steno authority', version: '1' },
    paths,
    components: { schemas: { Error: errorSchema } },
  };
}

const errorSchema = {
  type: 'object',
  required: ['error'],
  properties: {
    error: {
      type: 'object',
      required: ['code', 'message', 'fix'],
      properties: { code: { type: 'string' }, message: { type: 'string' }, fix: { type: 'string' }, detail: { type: 'string' } },
    },
  },
};

function operation({ summary, admits, params, body, answer, errors: declared }: Endpoint): object {
  const parameters = Object.entries(params.shape).map(([name, schema]) => ({
    name,
    in: 'path',
    required: true,
    schema: jsonSchema(schema as z.ZodType, 'input'),
  }));
  return {
    summary,
    'x-admits': admits,
    ...(parameters.length === 0 ? {} : { parameters }),
    ...((body as unknown) === noBody ? {} : { requestBody: { required: true, content: json(jsonSchema(body, 'input')) } }),
    responses: {
      '200': {
        description: 'Done.',
        content: json((answer as unknown) === noAnswer ? { type: 'object', additionalProperties: false } : jsonSchema(answer, 'output')),
      },
      ...refusals([...new Set<ErrorCode>([...commonErrors, ...declared])]),
    },
  };
}

/** One response a status, naming the codes that have it. */
function refusals(codes: readonly ErrorCode[]): Record<string, object> {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of codes) {
    const { status } = errorCatalogue[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus]
      .sort(([a], [b]) => a - b)
      .map(([status, named]) => [status, { description: named.join(', '), content: json({ $ref: '#/components/schemas/Error' }) }]),
  );
}

function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): object {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io });
  return rest;
}

function json(schema: object): object {
  return { 'application/json': { schema } };
}
