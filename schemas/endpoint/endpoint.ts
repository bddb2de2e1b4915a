/**
 * How an endpoint is declared: once, in `schemas/api/`. The server's route, the caller's path and types, the audit event of a
 * refusal, who is admitted, whether viewers pass it on, and the OpenAPI document all derive from the declaration.
 *
 * Bodies, parameters and queries are parsed strictly on the server. Answers are trusted by callers, which know the server by
 * its certificate, and are checked against `answer` where tests run the server. Tested in ../api/endpoints.test.ts.
 */
import { z } from 'zod';
import type { ErrorCode } from '../base/errors.js';
import type { ServiceKind } from '../base/identity.js';
import type { ResourceKind, ResourceVerb } from '../policy/role.js';
import { targetOf } from './target.js';

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

/**
 * Who may call: anybody with something to show in the body (a token), the owner of the machine, any user, users whose roles administer everything or permit this verb on this kind
 * of resource (`role:update`), or services of a kind.
 */
export type Admits = 'stranger' | 'owner' | 'user' | 'administer' | `${ResourceKind}:${ResourceVerb}` | 'service' | ServiceKind;

/** Fields common to endpoints of the authority and of viewer/api. */
export interface AnyEndpoint {
  readonly method: Method;
  /** Parameters as `:name`, each a field of `params`. */
  readonly path: `/${string}`;
  readonly summary: string;
  readonly admits: readonly Admits[];
  readonly params: z.ZodObject;
  readonly query?: z.ZodObject;
  readonly body: z.ZodType;
  readonly answer: z.ZodType;
  /** Codes this endpoint answers with, beside `commonErrors`. */
  readonly errors: readonly ErrorCode[];
}

/** Of the authority; none takes a query. */
export interface Endpoint extends AnyEndpoint {
  /** `noun.verb`: the event of the audit row that a refusal leaves. */
  readonly event: string;
  /** Viewers pass it on for browsers and commands, under `/api` in place of `/v1`. */
  readonly relayed?: Relayed;
}

/** Of viewer/api. What it opens and refuses of recordings it tells the authority, which keeps the audit. */
export interface ViewerEndpoint extends AnyEndpoint {
  readonly query: z.ZodObject;
  /** Of an answer that is not JSON: its bytes are as `summary` says. */
  readonly media?: string;
}

export interface Relayed {
  /** For the user of the web session whose cookie comes along; without one it is NOT_SIGNED_IN. */
  readonly session: boolean;
  /** Counts against the limits of logins, per address and altogether. */
  readonly limited: boolean;
  /** Bytes of body; 4 KiB unless given. */
  readonly bodyLimit?: number;
}

export const relayedSignedIn = { session: true, limited: false } as const satisfies Relayed;
export const relayedForLogins = { session: false, limited: true } as const satisfies Relayed;

/** Keeps every part of the declaration in its type; a field that is none of an endpoint's is an error. */
export function endpoint<const Declared extends Endpoint>(
  declared: Declared & Record<Exclude<keyof Declared, keyof Endpoint>, never>,
): Declared {
  return declared;
}

export function viewerEndpoint<const Declared extends ViewerEndpoint>(
  declared: Declared & Record<Exclude<keyof Declared, keyof ViewerEndpoint>, never>,
): Declared {
  return declared;
}

export const noParams = z.strictObject({});
export const noQuery = z.strictObject({});
/** Whatever stands in the query is not looked at. */
export const anyQuery = z.object({});
export const noBody = z.undefined();
/** Nothing, or `{}`. */
export const emptyBody = z.union([noBody, z.strictObject({})]);
/** The answer is `{}`. */
export const noAnswer = z.void();

/** Errors that any endpoint may return before its handler runs, or while the state store is unreachable. */
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

/** What any endpoint of viewer/api may answer beside: the authority is away, which is asked who it is and told who saw what. */
export const viewerErrors = ['NOT_RUNNING', 'AUTHORITY_UNTRUSTED'] as const satisfies readonly ErrorCode[];

/** Why a certificate in the body does not count. */
export const certificateErrors = [
  'CERT_BAD_SIGNATURE',
  'CERT_EXPIRED',
  'CERT_GARBLED',
  'CERT_NOT_YET_VALID',
  'CERT_UNKNOWN_CA',
  'CERT_UNKNOWN_OPTION',
  'CERT_WRONG_KIND',
  'CERT_WRONG_PRINCIPAL',
  'CERT_WRONG_SOURCE',
  'REQUEST_OVER',
  'REQUEST_STALE',
] as const satisfies readonly ErrorCode[];

/** Why no certificate is issued for a key: it is none, or the token that holds the CA does not answer. */
export const signingErrors = ['KEY_GARBLED', 'CA_SIGNER_UNAVAILABLE', 'CA_SIGNER_CONFIG'] as const satisfies readonly ErrorCode[];

/** Any refusal. */
export interface ApiError {
  readonly error: { readonly code: string; readonly message: string; readonly fix: string; readonly detail?: string };
}

/** In which a viewer tells the authority whose request it passes on; believed of viewers only. */
export const CLIENT_ADDRESS_HEADER = 'x-steno-client';
/** The token of the browser's web session, in what viewers pass on. */
export const WEB_SESSION_HEADER = 'x-steno-web-session';

/** Makes the caller's input read-only. */
type Given<T> = T extends readonly (infer Item)[]
  ? readonly Given<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: Given<T[Key]> }
    : T;
type Params<Of extends AnyEndpoint> = Given<z.input<Of['params']>>;
type Body<Of extends AnyEndpoint> = Given<z.input<Of['body']>>;
/** As text, typed by people often: the server says which values count. */
type Query<Of extends AnyEndpoint> = Of extends { readonly query: z.ZodObject }
  ? { readonly [Key in keyof z.input<Of['query']>]?: string | number | undefined }
  : never;

export type Input<Of extends AnyEndpoint> = (Record<never, never> extends Params<Of>
  ? { readonly params?: Params<Of> }
  : { readonly params: Params<Of> }) &
  (undefined extends Body<Of> ? { readonly body?: Body<Of> } : { readonly body: Body<Of> }) & { readonly query?: Query<Of> };

export type Answer<Of extends AnyEndpoint> = z.output<Of['answer']>;

/** Sends one request and resolves with the parsed JSON; rejects with the refusal. */
export type Send = (method: Method, target: string, body?: unknown) => Promise<unknown>;

/** Calls an endpoint. Fields that a newer server adds to its answer are passed on. */
export async function call<Of extends AnyEndpoint>(send: Send, { method, path }: Of, input: Input<Of>): Promise<Answer<Of>> {
  const { params, query, body } = input as AnyInput;
  return (await send(method, targetOf(path, params ?? {}, query), body)) as Answer<Of>;
}

interface AnyInput {
  readonly params?: Readonly<Record<string, unknown>>;
  readonly query?: Readonly<Record<string, unknown>>;
  readonly body?: unknown;
}
