/** The OpenAPI 3.1 document of declared endpoints. Tested in test/architecture/openapi.test.ts. */
import { z } from 'zod';
import { errorCatalogue } from '../base/errors.js';
import type { ErrorCode } from '../base/errors.js';
import { commonErrors, emptyBody, noAnswer, noBody } from './endpoint.js';
import type { AnyEndpoint, ViewerEndpoint } from './endpoint.js';

/** `shared`: schemas of many endpoints, by the names under which the document contains each once. */
export function openApi(title: string, list: readonly AnyEndpoint[], shared: Readonly<Record<string, z.ZodType>> = {}): object {
  const paths: Record<string, Record<string, object>> = {};
  const components: Record<string, object> = { Error: errorSchema };
  const jsonSchema = writer(shared, components);
  for (const one of list) {
    const path = one.path.replace(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [one.method.toLowerCase()]: operation(one, jsonSchema) };
  }
  return {
    openapi: '3.1.0',
    info: { title, version: '1' },
    paths,
    components: { schemas: components },
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

function operation(endpoint: AnyEndpoint, jsonSchema: WriteSchema): object {
  const { summary, admits, params, query, body, answer, errors: declared } = endpoint;
  const { media } = endpoint as Partial<ViewerEndpoint>;
  const inPath = Object.entries(params.shape).map(([name, schema]) => ({
    ...{ name, in: 'path', required: true },
    schema: jsonSchema(schema as z.ZodType, 'input'),
  }));
  const inQuery = Object.entries(query?.shape ?? {}).map(([name, schema]) => ({
    ...{ name, in: 'query', required: !(schema as z.ZodType).safeParse(undefined).success },
    schema: jsonSchema(schema as z.ZodType, 'input'),
  }));
  const parameters = [...inPath, ...inQuery];
  return {
    summary,
    'x-admits': admits,
    ...(parameters.length === 0 ? {} : { parameters }),
    ...([noBody, emptyBody].includes(body as never) ? {} : { requestBody: { required: true, content: json(jsonSchema(body, 'input')) } }),
    responses: {
      '200': {
        description: 'Done.',
        content:
          media !== undefined
            ? { [media]: { schema: { type: 'string' } } }
            : json((answer as unknown) === noAnswer ? { type: 'object', additionalProperties: false } : jsonSchema(answer, 'output')),
      },
      ...refusals([...new Set<ErrorCode>([...commonErrors, ...declared])]),
    },
  };
}

/** One response per status, naming its error codes. */
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

type WriteSchema = (schema: z.ZodType, io: 'input' | 'output') => object;

/** Writes schemas; `shared` ones go into `components`, in their input and output forms. */
function writer(shared: Readonly<Record<string, z.ZodType>>, components: Record<string, object>): WriteSchema {
  const metadata = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(shared)) metadata.add(schema, { id });
  return (schema, io) => {
    const named = (id: string): string => (io === 'input' ? `${id}Input` : id);
    const written = z.toJSONSchema(schema, { io, metadata, unrepresentable: 'any' });
    const {
      $schema: _,
      $defs,
      ...rest
    } = JSON.parse(
      JSON.stringify(written, (key, value: unknown) =>
        key === '$ref' && typeof value === 'string'
          ? value.replace(/^#\/\$defs\/(.+)$/, (_all, id: string) => `#/components/schemas/${named(id)}`)
          : value,
      ),
    ) as { readonly $schema?: string; readonly $defs?: Readonly<Record<string, object>> };
    for (const [id, definition] of Object.entries($defs ?? {})) components[named(id)] = definition;
    return rest;
  };
}

function json(schema: object): object {
  return { 'application/json': { schema } };
}
