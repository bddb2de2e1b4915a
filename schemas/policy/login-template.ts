/**
 * Templates for names in roles: `{user}`, `{traits.KEY}`, `{email.local(traits.KEY)}`, with fixed text around one of them. A
 * trait with several values gives several names.
 *
 * Results are checked: a value that is not a valid login (or Kubernetes name) is dropped, and so is `root`, which a role
 * must name explicitly. There are no regular expressions, so that no value from an identity provider can be costly. Tested
 * in login-template.test.ts.
 */
import type { Traits } from '../base/identity.js';

export interface Person {
  readonly user: string;
  readonly traits: Traits;
}

export interface Template {
  readonly text: string;
  /** Null: fixed text. */
  readonly expand: ((person: Person) => readonly string[]) | null;
  /** The name it reads, as in expressions: `user.name` or `user.traits.KEY`; null for fixed text. */
  readonly reads: string | null;
}

const pattern =
  /^([^{}]{0,64})\{\s*(?:(user)|traits\.([a-zA-Z][a-zA-Z0-9_.:/-]{0,62})|email\.local\(\s*traits\.([a-zA-Z][a-zA-Z0-9_.:/-]{0,62})\s*\))\s*\}([^{}]{0,64})$/;

/** Null if the text has braces that are not a template. */
export function parseTemplate(text: string): Template | null {
  if (!/[{}]/.test(text)) return { text, expand: null, reads: null };
  const match = pattern.exec(text);
  if (match === null) return null;
  const [, before = '', user, trait, email, after = ''] = match;
  const values = (person: Person): readonly string[] => {
    if (user !== undefined) return [person.user];
    const key = (trait ?? email)!;
    const found = Object.hasOwn(person.traits, key) ? person.traits[key]! : [];
    return email === undefined ? found : found.flatMap(localPart);
  };
  return {
    text,
    reads: user !== undefined ? 'user.name' : `user.traits.${(trait ?? email)!}`,
    expand: (person) => values(person).map((value) => `${before}${value}${after}`),
  };
}

/** The part of an address before `@`; nothing if it is not an address. */
function localPart(address: string): readonly string[] {
  const at = address.indexOf('@');
  return at > 0 && at === address.lastIndexOf('@') && at < address.length - 1 ? [address.slice(0, at).toLowerCase()] : [];
}
