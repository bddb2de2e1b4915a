/** Input fields that endpoints share, each bounded. */
import { z } from 'zod';
import { isLogin, isName } from '../base/identity.js';

export const name = z.string().max(63).refine(isName, 'is not a valid name');
export const login = z.string().max(32).refine(isLogin, 'is not a valid login');
/** One public key line. */
export const keyLine = z.string().min(1).max(16_384);
/** SPKI of a public key. */
export const pem = z.string().min(1).max(4096);
/** A random token of the authority: base64url of 32 bytes. */
export const tokenPattern = /^[A-Za-z0-9_-]{43}$/;
export const token = z.string().regex(tokenPattern, 'is not a token');
export const base64 = (min: number, max: number): z.ZodString =>
  z
    .string()
    .min(min)
    .max(max)
    .regex(/^[A-Za-z0-9+/]+={0,2}$/, 'is not base64');
export const base64url = (max: number): z.ZodString =>
  z
    .string()
    .max(max)
    .regex(/^[A-Za-z0-9_-]*$/, 'is not base64url');
export const labels = z
  .record(z.string().regex(/^[a-z0-9][a-z0-9_./-]{0,62}$/), z.string().max(255))
  .refine((map) => Object.keys(map).length <= 64, 'are too many');

/** Values of a query: bounded text, integers, moments in ms since 1970. */
export const queryText = z.string().min(1).max(255);
export const queryInteger = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d{1,15}$/, 'not a whole number')
    .transform(Number)
    .pipe(z.number().int().min(min).max(max));
const queryMoment = queryInteger(0, 7_258_118_400_000);
/** Cursor of the next page, from an answer. */
export const queryCursor = z.string().min(1).max(2048);
export const queryRange = { from: queryMoment.optional(), to: queryMoment.optional(), before: queryCursor.optional() };

/** Fields of answers. */
export const texts = z.array(z.string()).readonly();
export const textMap = z.record(z.string(), z.string()).readonly();
/** Label or trait to values. */
export const textsMap = z.record(z.string(), texts).readonly();
/** ms since 1970. */
export const moment = z.int();

/** An answer with exactly these fields. */
export function record<Shape extends z.core.$ZodLooseShape>(shape: Shape): z.ZodReadonly<z.ZodObject<Shape, z.core.$strict>> {
  return z.strictObject(shape).readonly();
}

export function list<Item extends z.ZodType>(item: Item): z.ZodReadonly<z.ZodArray<Item>> {
  return z.array(item).readonly();
}
