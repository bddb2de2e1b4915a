/** YAML nodes of a rule with their positions: faults are reported with file, line, column and the lines around. */
import { isMap, isScalar, isSeq } from 'yaml';
import type { Node, Scalar, YAMLMap } from 'yaml';
import { StenoError } from '#schemas/base/errors.js';
import { parseDocument, splitDocuments } from '#runtime/resources/document.js';
import type { Parsed } from '#runtime/resources/document.js';

/** A key of a map with its value. */
export interface Entry {
  readonly key: string;
  readonly keyNode: Scalar;
  /** Null: the key has no value. */
  readonly value: Node | null;
}

export class RuleDocument {
  readonly file: string;
  readonly firstLine: number;
  readonly root: YAMLMap;
  readonly #source: string;
  readonly #parsed: Parsed;

  /** Throws RULE_INVALID. The limits are those of every document: 64 KiB, no aliases, nested 32 deep (runtime/resources/document.ts). */
  constructor(source: string, file: string, firstLine: number) {
    this.file = file;
    this.firstLine = firstLine;
    this.#source = source;
    this.#parsed = asRule(() => parseDocument(source, file, firstLine));
    const root = this.#parsed.document.contents;
    if (!isMap(root)) throw this.fault('is no rule: it begins with title:', root);
    this.root = root as YAMLMap;
  }

  fault(message: string, at: Node | null): StenoError {
    const [start = 0, end] = at?.range ?? [];
    return asRuleError(this.#parsed.fault(message, start, isScalar(at) ? end : undefined));
  }

  /** A fault at a character of a text; if the text is not written as it reads, at its beginning. */
  faultInside(message: string, at: Scalar, offset: number, length: number): StenoError {
    const [start = 0] = at.range ?? [];
    const inside = this.#source.indexOf(String(at.value), start);
    if (inside < 0 || inside > start + 1) return this.fault(message, at);
    return asRuleError(this.#parsed.fault(message, inside + offset, inside + offset + length));
  }

  entries(map: Node | null, what: string): readonly Entry[] {
    if (!isMap(map)) throw this.fault(`${what} is a list of fields`, map ?? this.root);
    return (map as YAMLMap).items.map((pair) => ({
      key: String((pair.key as Scalar).value),
      keyNode: pair.key as Scalar,
      value: pair.value as Node | null,
    }));
  }

  /** The text at a key of the document; undefined if the key is missing. */
  text(entries: readonly Entry[], key: string, most: number): string | undefined {
    const entry = entries.find((one) => one.key === key);
    if (entry === undefined) return undefined;
    const { value } = entry;
    if (!isScalar(value) || (typeof value.value !== 'string' && typeof value.value !== 'number'))
      throw this.fault(`${key} is a text`, value ?? entry.keyNode);
    const text = String(value.value);
    if (text === '' || text.length > most) throw this.fault(`${key} has 1 to ${most} characters`, value);
    return text;
  }

  /** The texts of a list, or a single text. */
  texts(value: Node | null, what: string, most: number): readonly { readonly text: string; readonly node: Scalar }[] {
    const items = isSeq(value) ? (value.items as Node[]) : value === null ? [] : [value];
    if (items.length > most) throw this.fault(`${what} has at most ${most} entries`, value);
    return items.map((node) => {
      if (!isScalar(node) || typeof node.value !== 'string') throw this.fault(`${what} is a list of texts`, node);
      return { text: node.value, node };
    });
  }
}

/** The documents of a file, each with the line at which it begins. Throws RULE_INVALID. */
export function splitRules(text: string, file: string): readonly { readonly source: string; readonly firstLine: number }[] {
  return asRule(() => splitDocuments(text, file));
}

function asRule<T>(act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw error instanceof StenoError ? asRuleError(error) : error;
  }
}

function asRuleError(error: StenoError): StenoError {
  return new StenoError('RULE_INVALID', error.detail, { cause: error });
}
