/**
 * Expressions in roles, which select the nodes, sessions or requests that a rule applies to.
 *
 *     labels.env in ['dev', 'stage'] && user.traits.team.exists(t, t == labels.team)
 *
 * A strict subset of CEL with the same semantics, verified by a test against a CEL implementation:
 *
 *     or     = and { "||" and }            and   = unary { "&&" unary }        unary = "!" unary | compare
 *     compare = operand [ ("==" | "!=" | "in") operand ]
 *     operand = ( "(" or ")" | string | "true" | "false" | list | path ) { "." call }
 *     call    = contains(x) | startsWith(x) | endsWith(x) | exists(v, or) | all(v, or)      and: has(labels.key)
 *
 * An unknown value (a label that the node lacks) makes a comparison unknown, as an error does in CEL: an allowing rule then
 * does not apply, a denying one does. A trait that a user lacks is an empty list.
 *
 * Safety: names come from a fixed list and are resolved while compiling; labels and traits are read as own properties
 * only; no arithmetic, no regular expressions, no recursion; `exists` and `all` do not nest. At most 1024 characters,
 * 128 operations and 64 values of a trait bound an evaluation to 8192 steps. Tested in label-expression.test.ts.
 */
import type { Traits } from '../base/identity.js';
import type { Condition, TextTerm, Truth } from './session-condition.js';

/** What an expression selects, beside reading `user`: a node, a session, or an access request. */
export type ExpressionSubject = 'node' | 'session' | 'request';

export interface Scope {
  readonly user: { readonly name: string; readonly roles: readonly string[]; readonly traits: Traits };
  /** Labels of the node; null if the node is unknown, which makes every label unknown. */
  readonly labels?: Readonly<Record<string, string>> | null;
  readonly node?: { readonly name: string };
  readonly session?: { readonly user: string; readonly node: string; readonly login: string; readonly kind: string };
  readonly request?: { readonly user: string; readonly roles: readonly string[]; readonly nodes: readonly string[] };
}

/** Facts known before the session: the requesting user, and the term that represents the session's user. */
export interface ConditionScope {
  readonly user: Scope['user'];
  readonly owner: TextTerm;
}

export interface Expression {
  readonly text: string;
  readonly evaluate: (scope: Scope) => Truth;
  /** The expression as a tree for stores: its conditions on a session, with all facts about the user filled in. */
  readonly condition: (scope: ConditionScope) => Condition;
  /** Labels that must have one of these values for the expression to hold; for indexes. */
  readonly needs: readonly { readonly label: string; readonly values: readonly string[] }[];
  /**
   * Every name that it reads, as written in roles: `labels.KEY` (`labels` for all of them), `node.name`, `user.traits.KEY`,
   * ...
   */
  readonly reads: ReadonlySet<string>;
}

/** `at`: offset in characters of the expression's text. */
export class ExpressionError extends Error {
  readonly at: number;
  constructor(message: string, at: number) {
    super(message);
    this.at = at;
  }
}

const MAX_LENGTH = 1024;
const MAX_OPERATIONS = 128;
const MAX_DEPTH = 24;
const MAX_LIST = 64;

type Value = boolean | string | readonly string[] | undefined;
type Kind = 'bool' | 'string' | 'list' | 'labels';
type Run = (scope: Scope, item: string) => Value;
/** Booleans become a condition, texts a term, lists their terms, labels nothing. */
type Tree = Condition | TextTerm | readonly TextTerm[] | undefined;
type Grow = (scope: ConditionScope, item: TextTerm) => Tree;
interface Term {
  readonly kind: Kind;
  readonly at: number;
  readonly run: Run;
  readonly tree: Grow;
  /** Literal text, of strings and lists of them. */
  readonly literal?: readonly string[];
  /** The label that is read. */
  readonly label?: string;
  readonly needs?: Expression['needs'];
}

/** Throws ExpressionError. */
export function compileExpression(text: string, about: ExpressionSubject): Expression {
  if (text.length > MAX_LENGTH) throw new ExpressionError(`is longer than ${MAX_LENGTH} characters`, MAX_LENGTH);
  const parser = new Parser(text, about);
  const term = parser.whole();
  return {
    text,
    needs: term.needs ?? [],
    reads: parser.reads,
    evaluate: (scope) => term.run(scope, '') as Truth,
    condition: (scope) => term.tree(scope, UNKNOWN) as Condition,
  };
}

const UNKNOWN: TextTerm = { kind: 'unknown' };

interface Token {
  readonly kind: 'name' | 'string' | 'sign' | 'end';
  readonly text: string;
  readonly at: number;
}

const signs = ['&&', '||', '==', '!=', '!', '(', ')', '[', ']', '.', ','];

function tokensOf(text: string): readonly Token[] {
  const tokens: Token[] = [];
  for (let at = 0; at < text.length;) {
    const rest = text.slice(at);
    const space = /^[ \t\r\n]+/.exec(rest);
    if (space !== null) {
      at += space[0].length;
      continue;
    }
    const name = /^[A-Za-z_][A-Za-z0-9_]*/.exec(rest);
    const string = /^(?:'(?:[^'\\\r\n]|\\['"\\])*'|"(?:[^"\\\r\n]|\\['"\\])*")/.exec(rest);
    const sign = signs.find((known) => rest.startsWith(known));
    if (name !== null) tokens.push({ kind: 'name', text: name[0], at });
    else if (string !== null) tokens.push({ kind: 'string', text: string[0].slice(1, -1).replace(/\\(.)/g, '$1'), at });
    else if (sign !== undefined) tokens.push({ kind: 'sign', text: sign, at });
    else throw new ExpressionError(`does not understand ${JSON.stringify([...rest][0])}`, at);
    at += (name ?? string)?.[0].length ?? sign!.length;
  }
  return [...tokens, { kind: 'end', text: 'the end', at: text.length }];
}

class Parser {
  readonly reads = new Set<string>();
  readonly #tokens: readonly Token[];
  readonly #about: ExpressionSubject;
  #next = 0;
  #operations = 0;
  #depth = 0;
  /** The variable of the enclosing `exists` or `all`. */
  #variable: string | undefined;

  constructor(text: string, about: ExpressionSubject) {
    this.#tokens = tokensOf(text);
    this.#about = about;
  }

  whole(): Term {
    const term = this.#or();
    const { kind, text, at } = this.#peek();
    if (kind !== 'end') throw new ExpressionError(`does not expect ${JSON.stringify(text)} here`, at);
    return bool(term);
  }

  #or(): Term {
    const parts = this.#chain('||', () => this.#and());
    if (parts.length === 1) return parts[0]!;
    const runs = parts.map((part) => bool(part).run);
    return this.#made({
      kind: 'bool',
      at: parts[0]!.at,
      run: (scope, item) => anyOf(runs, (run) => run(scope, item) as Truth),
      tree: (scope, item) => ({ kind: 'any', of: parts.map(({ tree }) => tree(scope, item) as Condition) }),
    });
  }

  #and(): Term {
    const parts = this.#chain('&&', () => this.#unary());
    if (parts.length === 1) return parts[0]!;
    const runs = parts.map((part) => bool(part).run);
    return this.#made({
      kind: 'bool',
      at: parts[0]!.at,
      needs: parts.flatMap(({ needs = [] }) => needs),
      run: (scope, item) => allOf(runs, (run) => run(scope, item) as Truth),
      tree: (scope, item) => ({ kind: 'all', of: parts.map(({ tree }) => tree(scope, item) as Condition) }),
    });
  }

  #chain(sign: string, part: () => Term): Term[] {
    const parts = [part()];
    while (this.#take(sign)) parts.push(part());
    return parts;
  }

  #unary(): Term {
    const { at } = this.#peek();
    if (!this.#take('!')) return this.#compare();
    const { run, tree } = this.#deeper(() => bool(this.#unary()));
    return this.#made({
      kind: 'bool',
      at,
      run: (scope, item) => not(run(scope, item) as Truth),
      tree: (scope, item) => ({ kind: 'not', of: tree(scope, item) as Condition }),
    });
  }

  #compare(): Term {
    const left = this.#operand();
    if (this.#take('==')) return this.#equal(left, this.#operand(), true);
    if (this.#take('!=')) return this.#equal(left, this.#operand(), false);
    if (this.#peek().kind === 'name' && this.#peek().text === 'in') {
      this.#next += 1;
      return this.#in(left, this.#operand());
    }
    return left;
  }

  #equal(left: Term, right: Term, wanted: boolean): Term {
    if (left.kind !== right.kind || (left.kind !== 'string' && left.kind !== 'bool')) {
      throw new ExpressionError(`compares ${words[left.kind]} with ${words[right.kind]}; only text with text, or true and false`, right.at);
    }
    const [a, b] = [left.run, right.run];
    const label = left.label ?? right.label;
    const literal = left.literal ?? right.literal;
    return this.#made({
      kind: 'bool',
      at: left.at,
      ...(wanted && label !== undefined && literal !== undefined ? { needs: [{ label, values: literal }] } : {}),
      run: (scope, item) => {
        const [x, y] = [a(scope, item), b(scope, item)];
        return x === undefined || y === undefined ? undefined : (x === y) === wanted;
      },
      tree: (scope, item) => {
        const [x, y] = [left.tree(scope, item), right.tree(scope, item)];
        const same: Condition =
          left.kind === 'bool'
            ? { kind: 'same', a: x as Condition, b: y as Condition }
            : { kind: 'equal', a: x as TextTerm, b: y as TextTerm };
        return wanted ? same : { kind: 'not', of: same };
      },
    });
  }

  #in(left: Term, right: Term): Term {
    string(left);
    const [value, list] = [left.run, right.run];
    if (right.kind === 'labels') {
      return this.#made({
        kind: 'bool',
        at: left.at,
        run: (scope, item) => {
          const key = value(scope, item) as string | undefined;
          return key === undefined || scope.labels == null ? undefined : Object.hasOwn(scope.labels, key);
        },
        tree: (scope, item) => ({ kind: 'has', label: left.tree(scope, item) as TextTerm }),
      });
    }
    if (right.kind !== 'list')
      throw new ExpressionError(`looks for a text in ${words[right.kind]}; it can be in a list, or be a label`, right.at);
    return this.#made({
      kind: 'bool',
      at: left.at,
      ...(left.label !== undefined && right.literal !== undefined ? { needs: [{ label: left.label, values: right.literal }] } : {}),
      run: (scope, item) => {
        const [x, all] = [value(scope, item), list(scope, item)];
        return x === undefined || all === undefined ? undefined : (all as readonly string[]).includes(x as string);
      },
      tree: (scope, item) => ({
        kind: 'in',
        a: left.tree(scope, item) as TextTerm,
        list: right.tree(scope, item) as readonly TextTerm[],
      }),
    });
  }

  #operand(): Term {
    let term = this.#deeper(() => this.#primary());
    while (this.#peek().text === '.' && this.#peek().kind === 'sign') {
      this.#next += 1;
      term = this.#call(term);
    }
    return term;
  }

  #primary(): Term {
    const token = this.#peek();
    this.#next += 1;
    const { at, text } = token;
    if (token.kind === 'string') return this.#made({ kind: 'string', at, literal: [text], run: () => text, tree: () => known(text) });
    if (token.kind === 'sign' && text === '(') {
      const inner = this.#or();
      this.#expect(')');
      return inner;
    }
    if (token.kind === 'sign' && text === '[') return this.#list(at);
    if (token.kind !== 'name') throw new ExpressionError(`expects a value, not ${token.kind === 'end' ? text : JSON.stringify(text)}`, at);
    if (text === 'true' || text === 'false')
      return this.#made({ kind: 'bool', at, run: () => text === 'true', tree: () => ({ kind: 'truth', truth: text === 'true' }) });
    if (text === 'has') return this.#has(at);
    if (text === this.#variable) return this.#made({ kind: 'string', at, run: (_scope, item) => item, tree: (_scope, item) => item });
    return this.#path(text, at);
  }

  #list(at: number): Term {
    const items: Term[] = [];
    if (!this.#take(']')) {
      do items.push(string(this.#operand()));
      while (this.#take(','));
      this.#expect(']');
    }
    if (items.length > MAX_LIST) throw new ExpressionError(`has a list of more than ${MAX_LIST}`, at);
    const literal = items.flatMap((item) => item.literal ?? []);
    if (literal.length === items.length)
      return this.#made({ kind: 'list', at, literal, run: () => literal, tree: () => literal.map(known) });
    return this.#made({
      kind: 'list',
      at,
      run: (scope, item) => {
        const values = items.map(({ run }) => run(scope, item) as string | undefined);
        return values.includes(undefined) ? undefined : (values as string[]);
      },
      tree: (scope, item) => items.map(({ tree }) => tree(scope, item) as TextTerm),
    });
  }

  #has(at: number): Term {
    this.#expect('(');
    const { label, at: inner } = this.#operand();
    if (label === undefined) throw new ExpressionError('asks has() of something that is not a label; write has(labels.key)', inner);
    this.#expect(')');
    return this.#made({
      kind: 'bool',
      at,
      run: ({ labels }) => (labels == null ? undefined : Object.hasOwn(labels, label)),
      tree: () => ({ kind: 'has', label: known(label) }),
    });
  }

  /** Only these names exist: values select no property, except keys of labels and traits. */
  #path(root: string, at: number): Term {
    if (root === 'labels' && this.#about !== 'request') {
      if (!this.#isMember()) return this.#reading('labels', { kind: 'labels', at, run: () => undefined, tree: () => undefined });
      const label = this.#member();
      this.reads.add(`labels.${label}`);
      return this.#made({
        kind: 'string',
        at,
        label,
        run: ({ labels }) => (labels != null && Object.hasOwn(labels, label) ? labels[label] : undefined),
        tree: () => ({ kind: 'label', label }),
      });
    }
    if (root === 'user' && this.#isMember()) {
      const member = this.#member();
      if (member === 'name')
        return this.#reading('user.name', { kind: 'string', at, run: ({ user }) => user.name, tree: ({ user }) => known(user.name) });
      if (member === 'roles')
        return this.#reading('user.roles', { kind: 'list', at, run: ({ user }) => user.roles, tree: ({ user }) => user.roles.map(known) });
      if (member === 'traits' && this.#isMember()) {
        const trait = this.#member();
        return this.#reading(`user.traits.${trait}`, {
          kind: 'list',
          at,
          run: ({ user }) => (Object.hasOwn(user.traits, trait) ? user.traits[trait]! : []),
          tree: ({ user }) => (Object.hasOwn(user.traits, trait) ? user.traits[trait]! : []).map(known),
        });
      }
    } else if (root === 'node' && this.#about === 'node' && this.#isMember()) {
      if (this.#member() === 'name')
        return this.#reading('node.name', { kind: 'string', at, run: ({ node }) => node?.name, tree: () => UNKNOWN });
    } else if (root === 'session' && this.#about === 'session' && this.#isMember()) {
      const member = this.#member();
      if (member === 'user' || member === 'node' || member === 'login' || member === 'kind') {
        return this.#reading(`session.${member}`, {
          kind: 'string',
          at,
          run: ({ session }) => session?.[member],
          tree: ({ owner }) => (member === 'user' ? owner : { kind: member === 'kind' ? 'session_kind' : member }),
        });
      }
    } else if (root === 'request' && this.#about === 'request' && this.#isMember()) {
      const member = this.#member();
      if (member === 'user')
        return this.#reading('request.user', { kind: 'string', at, run: ({ request }) => request?.user, tree: () => UNKNOWN });
      if (member === 'roles' || member === 'nodes')
        return this.#reading(`request.${member}`, { kind: 'list', at, run: ({ request }) => request?.[member], tree: () => [UNKNOWN] });
    }
    throw new ExpressionError(`knows no such name; there are ${namesOf[this.#about]}`, at);
  }

  #isMember(): boolean {
    const [first, second] = [this.#peek(), this.#tokens[this.#next + 1]];
    return first.kind === 'sign' && ((first.text === '.' && second?.kind === 'name') || first.text === '[');
  }

  #member(): string {
    const brackets = this.#tokens[this.#next]!.text === '[';
    const key = this.#tokens[this.#next + 1]!;
    if (brackets && key.kind !== 'string') throw new ExpressionError('expects a quoted name in brackets', key.at);
    this.#next += 2;
    if (brackets) this.#expect(']');
    return key.text;
  }

  #call(on: Term): Term {
    const { text: name, at } = this.#peek();
    this.#next += 1;
    this.#expect('(');
    if (name === 'exists' || name === 'all') return this.#macro(on, name, at);
    if (name !== 'contains' && name !== 'startsWith' && name !== 'endsWith') {
      throw new ExpressionError('knows no such call; there are contains, startsWith, endsWith, exists and all', at);
    }
    const argument = string(this.#operand());
    const [text, part] = [string(on).run, argument.run];
    this.#expect(')');
    const test = {
      contains: (a: string, b: string) => a.includes(b),
      startsWith: (a: string, b: string) => a.startsWith(b),
      endsWith: (a: string, b: string) => a.endsWith(b),
    }[name];
    return this.#made({
      kind: 'bool',
      at,
      run: (scope, item) => {
        const [a, b] = [text(scope, item), part(scope, item)];
        return a === undefined || b === undefined ? undefined : test(a as string, b as string);
      },
      tree: (scope, item) => ({ kind: name, a: on.tree(scope, item) as TextTerm, b: argument.tree(scope, item) as TextTerm }),
    });
  }

  #macro(on: Term, name: 'exists' | 'all', at: number): Term {
    if (on.kind !== 'list') throw new ExpressionError(`asks ${name} of ${words[on.kind]}; it needs a list`, at);
    if (this.#variable !== undefined) throw new ExpressionError(`has ${name} inside exists or all, which could cost too much`, at);
    const variable = this.#peek();
    if (variable.kind !== 'name' || reserved.has(variable.text))
      throw new ExpressionError(`expects a new name for the value, as in ${name}(t, t == 'x')`, variable.at);
    this.#next += 1;
    this.#expect(',');
    this.#variable = variable.text;
    const { run, tree } = bool(this.#or());
    this.#variable = undefined;
    this.#expect(')');
    const [list, combine] = [on.run, name === 'exists' ? anyOf<string> : allOf<string>];
    return this.#made({
      kind: 'bool',
      at,
      run: (scope) => {
        const items = list(scope, '') as readonly string[] | undefined;
        return items === undefined ? undefined : combine(items, (item) => run(scope, item) as Truth);
      },
      tree: (scope) => {
        const items = on.tree(scope, UNKNOWN) as readonly TextTerm[];
        const each: Condition = { kind: name === 'exists' ? 'any' : 'all', of: items.map((item) => tree(scope, item) as Condition) };
        // A list with an unknown element is unknown as a whole.
        return items.reduce<Condition>((whole, item) => onlyIfKnown(item, whole), each);
      },
    });
  }

  #reading(name: string, term: Term): Term {
    this.reads.add(name);
    return this.#made(term);
  }

  #made(term: Term): Term {
    this.#operations += 1;
    if (this.#operations > MAX_OPERATIONS) throw new ExpressionError(`has more than ${MAX_OPERATIONS} parts`, term.at);
    return term;
  }

  #deeper<T>(part: () => T): T {
    this.#depth += 1;
    if (this.#depth > MAX_DEPTH) throw new ExpressionError(`is nested deeper than ${MAX_DEPTH}`, this.#peek().at);
    const made = part();
    this.#depth -= 1;
    return made;
  }

  /** Repeats the end token. */
  #peek(): Token {
    return this.#tokens[this.#next] ?? this.#tokens.at(-1)!;
  }

  #take(sign: string): boolean {
    const { kind, text } = this.#peek();
    if (kind !== 'sign' || text !== sign) return false;
    this.#next += 1;
    return true;
  }

  #expect(sign: string): void {
    const { text, at, kind } = this.#peek();
    if (!this.#take(sign))
      throw new ExpressionError(`expects ${JSON.stringify(sign)}, not ${kind === 'end' ? text : JSON.stringify(text)}`, at);
  }
}

const words: Readonly<Record<Kind, string>> = { bool: 'true or false', string: 'a text', list: 'a list', labels: 'the labels' };
const namesOf: Readonly<Record<ExpressionSubject, string>> = {
  node: 'labels.KEY, node.name, user.name, user.roles and user.traits.KEY',
  session: 'session.user, session.node, session.login, session.kind, labels.KEY, user.name, user.roles and user.traits.KEY',
  request: 'request.user, request.roles, request.nodes, user.name, user.roles and user.traits.KEY',
};
const reserved: ReadonlySet<string> = new Set(['labels', 'user', 'node', 'session', 'request', 'has', 'in', 'true', 'false']);

const known = (text: string): TextTerm => ({ kind: 'text', text });

/** `then` if `term` is known; otherwise unknown. */
function onlyIfKnown(term: TextTerm, then: Condition): Condition {
  if (term.kind !== 'label' && term.kind !== 'unknown') return then;
  const unknown: Condition = { kind: 'truth', truth: undefined };
  const isKnown: Condition = { kind: 'assume', of: { kind: 'equal', a: term, b: term }, otherwise: false };
  return {
    kind: 'any',
    of: [
      { kind: 'all', of: [isKnown, then] },
      { kind: 'all', of: [{ kind: 'not', of: isKnown }, unknown] },
    ],
  };
}

function bool(term: Term): Term {
  if (term.kind !== 'bool') throw new ExpressionError(`expects something true or false, not ${words[term.kind]}`, term.at);
  return term;
}

function string(term: Term): Term {
  if (term.kind !== 'string') throw new ExpressionError(`expects a text, not ${words[term.kind]}`, term.at);
  return term;
}

function not(truth: Truth): Truth {
  return truth === undefined ? undefined : !truth;
}

function anyOf<T>(items: readonly T[], test: (item: T) => Truth): Truth {
  let found: Truth = false;
  for (const item of items) {
    const truth = test(item);
    if (truth === true) return true;
    if (truth === undefined) found = undefined;
  }
  return found;
}

function allOf<T>(items: readonly T[], test: (item: T) => Truth): Truth {
  let found: Truth = true;
  for (const item of items) {
    const truth = test(item);
    if (truth === false) return false;
    if (truth === undefined) found = undefined;
  }
  return found;
}
