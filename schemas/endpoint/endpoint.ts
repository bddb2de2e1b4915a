/**
 * An endpoint is declared once, in `schemas/api/`. The server's route, the caller's path and types, the audit event of a
 * refusal, who is admitted, whether viewers relay it, and the OpenAPI document all derive from the declaration.
 *
 * The server parses bodies, parameters and queries strictly. Callers trust answers, since they know the server by its
 * certificate; tests check answers against `answer`. Tested in ../api/endpoints.test.ts.
 */
import { z } from 'zod';
import type { ErrorCode } from '../base/errors.js';
import type { ServiceKind } from '../base/identity.js';
import type { ResourceKind, ResourceVerb } from '../policy/role.js';
import { targetOf } from './target.js';

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

/**
 * Who may call: anybody who presents something in the body (a token), the owner of the machine, any user, users whose roles
 * administer everything or permit this verb on this kind of resource (`role:update`), or services of a kind.
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
  /** Error codes of this endpoint, beside `commonErrors`. */
  readonly errors: readonly ErrorCode[];
}

/** An endpoint of the authority; none takes a query. */
export interface Endpoint extends AnyEndpoint {
  /** `noun.verb`: the event of the audit row that a refusal leaves. */
  readonly event: string;
  /** Set if viewers relay it for browsers and commands, under `/api` in place of `/v1`. */
  readonly relayed?: Relayed;
}

/** An endpoint of viewer/api. It reports opened and refused recordings to the authority, which keeps the audit log. */
export interface ViewerEndpoint extends AnyEndpoint {
  readonly query: z.ZodObject;
  /** Media type of an answer that is not JSON; `summary` describes its bytes. */
  readonly media?: string;
}

export interface Relayed {
  /** Whether it requires a web session's cookie; without one it answers NOT_SIGNED_IN. */
  readonly session: boolean;
  /** Whether it counts towards the limits of logins, per address and in all. */
  readonly limited: boolean;
  /** Most bytes of the body; 4 KiB by default. */
  readonly bodyLimit?: number;
}

export const relayedSignedIn = { session: true, limited: false } as const satisfies Relayed;
export const relayedForLogins = { session: false, limited: true } as const satisfies Relayed;

/** Keeps every part of the declaration in its type; an unknown field is an error. */
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
/** Ignores the query. */
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

/** Further errors of every endpoint of viewer/api, which asks the authority about the caller and reports to it. */
export const viewerErrors = ['NOT_RUNNING', 'AUTHORITY_UNTRUSTED'] as const satisfies readonly ErrorCode[];

/** Errors for an unacceptable certificate in the body. */
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

/** Errors when no certificate can be issued for a key: the key is invalid, or the token that holds the CA key does not answer. */
export const signingErrors = ['KEY_GARBLED', 'CA_SIGNER_UNAVAILABLE', 'CA_SIGNER_CONFIG'] as const satisfies readonly ErrorCode[];

/** Any refusal. */
export interface ApiError {
  readonly error: { readonly code: string; readonly message: string; readonly fix: string; readonly detail?: string };
}

/** Header in which a viewer names the client whose request it relays; trusted only from viewers. */
export const CLIENT_ADDRESS_HEADER = 'x-steno-client';
/** Header with the token of the browser's web session, in relayed requests. */
export const WEB_SESSION_HEADER = 'x-steno-web-session';

/** Makes the caller's input read-only. */
type Given<T> = T extends readonly (infer Item)[]
  ? readonly Given<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: Given<T[Key]> }
    : T;
type Params<Of extends AnyEndpoint> = Given<z.input<Of['params']>>;
type Body<Of extends AnyEndpoint> = Given<z.input<Of['body']>>;
/** Values as text, since people often type them; the server validates them. */
export type Query<Of extends AnyEndpoint> = Of extends { readonly query: z.ZodObject }
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
