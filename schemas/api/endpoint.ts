/**
 * How an endpoint of the authority is declared: once, here in `schemas/api/<resource>.ts`. The authority's route, the caller's
 * types, the audit event of a refusal, who is admitted, and the OpenAPI document all derive from the declaration.
 *
 * Bodies and parameters are parsed strictly on the server. Answers are trusted by callers, which know the server by its
 * certificate, and are checked against `answer` where tests run the authority. Tested in api.test.ts.
 */
import { z } from 'zod';
import type { ErrorCode } from '../base/errors.js';
import type { ServiceKind } from '../base/identity.js';
import type { ResourceKind, ResourceVerb } from '../policy/role.js';

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

/**
 * Who may call: anybody with something to show in the body (a token), the owner of the machine, any user, users whose roles administer everything or permit this verb on this kind
 * of resource (`role:update`), or services of a kind.
 */
export type Admits = 'stranger' | 'owner' | 'user' | 'administer' | `${ResourceKind}:${ResourceVerb}` | 'service' | ServiceKind;

export interface Endpoint<
  Params extends z.ZodObject = z.ZodObject,
  Body extends z.ZodType = z.ZodType,
  Answer extends z.ZodType = z.ZodType,
> {
  readonly method: Method;
  /** Parameters as `:name`, each a field of `params`. */
  readonly path: `/${string}`;
  readonly summary: string;
  readonly admits: readonly Admits[];
  /** `noun.verb`: the event of the audit row that a refusal leaves. */
  readonly event: string;
  readonly params: Params;
  readonly body: Body;
  readonly answer: Answer;
  /** Codes this endpoint answers with, beside `commonErrors`. */
  readonly errors: readonly ErrorCode[];
}

export function endpoint<Params extends z.ZodObject, Body extends z.ZodType, Answer extends z.ZodType>(
  declared: Endpoint<Params, Body, Answer>,
): Endpoint<Params, Body, Answer> {
  return declared;
}

export const noParams = z.strictObject({});
export const noBody = z.undefined();
/** The answer is `{}`. */
export const noAnswer = z.void();

/** What any endpoint may answer before its handler runs, and when the state store is away. */
export const commonErrors = [
  'NOT_SIGNED_IN',
  'SERVICE_REMOVED',
  'ACCESS_DENIED',
  'BAD_REQUEST',
  'TOO_LARGE',
  'LOCKED',
  'STORE_UNAVAILABLE',
  'INTERNAL',
] as const satisfies readonly ErrorCode[];

export type Input<Params extends z.ZodObject, Body extends z.ZodType> = (Record<never, never> extends z.input<Params>
  ? { readonly params?: z.input<Params> }
  : { readonly params: z.input<Params> }) &
  (undefined extends z.input<Body> ? { readonly body?: z.input<Body> } : { readonly body: z.input<Body> });

/** Sends one request and resolves with the parsed JSON; rejects with the refusal. */
export type Send = (method: Method, target: string, body?: unknown) => Promise<unknown>;

/** Calls an endpoint. Fields that a newer server adds to its answer are passed on. */
export async function call<Params extends z.ZodObject, Body extends z.ZodType, Answer extends z.ZodType>(
  send: Send,
  { method, path }: Endpoint<Params, Body, Answer>,
  input: Input<Params, Body>,
): Promise<z.output<Answer>> {
  return (await send(method, targetOf(path, input.params ?? {}), input.body)) as z.output<Answer>;
}

/** The path with its parameters filled in. */
export function targetOf(path: string, params: Readonly<Record<string, unknown>>): string {
  return path.replace(/:(\w+)/g, (_, name: string) => encodeURIComponent(String(params[name])));
}
