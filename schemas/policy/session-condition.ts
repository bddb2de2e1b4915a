/**
 * A policy's conditions on a session, as data: a tree that a store translates into its own conditions, so that lists, counts,
 * facets and users' SQL use the same predicate as the decision about one session.
 *
 * Truth has three values, as in expressions of roles: an unknown label (one that the session's node did not have, or any label
 * if labels are unknown) makes a comparison unknown; `assume` says what it counts as then. `holds` defines the meaning;
 * translations into other languages must agree with it. Tested in session-condition.test.ts.
 */

/** Undefined: unknown. */
export type Truth = boolean | undefined;

export type TextTerm =
  | { readonly kind: 'text'; readonly text: string }
  /** `marked`: sessions of this user that began before `before` belong to an earlier bearer of the name. */
  | { readonly kind: 'user'; readonly marked: { readonly user: string; readonly before: number } | null }
  | { readonly kind: 'node' }
  | { readonly kind: 'login' }
  | { readonly kind: 'session_kind' }
  | { readonly kind: 'label'; readonly label: string }
  | { readonly kind: 'unknown' };

export type Condition =
  | { readonly kind: 'truth'; readonly truth: Truth }
  | { readonly kind: 'not'; readonly of: Condition }
  | { readonly kind: 'all'; readonly of: readonly Condition[] }
  | { readonly kind: 'any'; readonly of: readonly Condition[] }
  /** Unknown counts as `otherwise`. */
  | { readonly kind: 'assume'; readonly of: Condition; readonly otherwise: boolean }
  | { readonly kind: 'same'; readonly a: Condition; readonly b: Condition }
  | { readonly kind: 'equal' | 'contains' | 'startsWith' | 'endsWith'; readonly a: TextTerm; readonly b: TextTerm }
  /** Unknown if the text or an element of the list is. */
  | { readonly kind: 'in'; readonly a: TextTerm; readonly list: readonly TextTerm[] }
  /** Whether the session's node had the label; unknown if labels are unknown. */
  | { readonly kind: 'has'; readonly label: TextTerm };

/** The fields that conditions compare. */
export interface ConditionSubject {
  readonly user: string;
  readonly node: string;
  readonly login: string;
  readonly kind: string;
  /** ms since 1970; if omitted: before everything. */
  readonly started_at?: number;
  /** Null: unknown. */
  readonly labels: Readonly<Record<string, string>> | null;
}

/** The user name that stands for an earlier bearer of a name; real names contain no blanks. */
export function earlier(user: string): string {
  return `${user} (earlier)`;
}

/** Undefined: unknown. */
export function holds(condition: Condition, of: ConditionSubject): Truth {
  switch (condition.kind) {
    case 'truth':
      return condition.truth;
    case 'not': {
      const truth = holds(condition.of, of);
      return truth === undefined ? undefined : !truth;
    }
    case 'all':
    case 'any': {
      const decisive = condition.kind === 'any';
      let found: Truth = !decisive;
      for (const one of condition.of) {
        const truth = holds(one, of);
        if (truth === decisive) return decisive;
        if (truth === undefined) found = undefined;
      }
      return found;
    }
    case 'assume':
      return holds(condition.of, of) ?? condition.otherwise;
    case 'same': {
      const [a, b] = [holds(condition.a, of), holds(condition.b, of)];
      return a === undefined || b === undefined ? undefined : a === b;
    }
    case 'in': {
      const [a, list] = [textOf(condition.a, of), condition.list.map((term) => textOf(term, of))];
      return a === undefined || list.includes(undefined) ? undefined : list.includes(a);
    }
    case 'has': {
      const label = textOf(condition.label, of);
      return label === undefined || of.labels === null ? undefined : Object.hasOwn(of.labels, label);
    }
    default: {
      const [a, b] = [textOf(condition.a, of), textOf(condition.b, of)];
      if (a === undefined || b === undefined) return undefined;
      return condition.kind === 'equal' ? a === b : condition.kind === 'contains' ? a.includes(b) : a[condition.kind](b);
    }
  }
}

function textOf(term: TextTerm, of: ConditionSubject): string | undefined {
  switch (term.kind) {
    case 'text':
      return term.text;
    case 'user': {
      const { marked } = term;
      const old = marked !== null && of.user === marked.user && (of.started_at === undefined || of.started_at < marked.before);
      return old ? earlier(of.user) : of.user;
    }
    case 'node':
      return of.node;
    case 'login':
      return of.login;
    case 'session_kind':
      return of.kind;
    case 'label':
      return of.labels !== null && Object.hasOwn(of.labels, term.label) ? of.labels[term.label] : undefined;
    case 'unknown':
      return undefined;
  }
}
