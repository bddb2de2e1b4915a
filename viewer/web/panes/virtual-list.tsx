/**
 * A list of rows of equal height that renders only the rows in sight. For the keyboard it is a single tab stop: up and down, Home and
 * End move through its rows, and a screen reader announces how many there are.
 */
import { useEffect, useLayoutEffect, useRef, useState } from 'react';
import type { CSSProperties, KeyboardEvent, ReactNode } from 'react';

/** Rows rendered beyond both edges, so that scrolling shows no blank area. */
const BEYOND = 6;

export interface VirtualListProps {
  readonly label: string;
  readonly count: number;
  /** Pixels. */
  readonly rowHeight: number;
  /** The row to keep in sight unless the user scrolls or the list has the focus; null: none. */
  readonly follow: number | null;
  readonly keyOf: (index: number) => string;
  /** `tabIndex` is for the one button in the row. */
  readonly row: (index: number, tabIndex: 0 | -1) => ReactNode;
  /** Called when the last row comes into sight. */
  readonly onEnd?: () => void;
}

export function VirtualList({ label, count, rowHeight, follow, keyOf, row, onEnd }: VirtualListProps): ReactNode {
  const box = useRef<HTMLUListElement>(null);
  const [view, setView] = useState({ top: 0, height: 400 });
  const [active, setActive] = useState(0);
  const wantsFocus = useRef(false);
  const inUse = useRef(false);

  useLayoutEffect(() => {
    const element = box.current!;
    const measure = (): void => setView((before) => ({ ...before, height: element.clientHeight }));
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    measure();
    return () => observer.disconnect();
  }, []);
  const reveal = (index: number, margin: number): void => {
    const element = box.current!;
    const top = index * rowHeight;
    if (top < element.scrollTop + margin) element.scrollTop = Math.max(0, top - margin);
    else if (top + rowHeight > element.scrollTop + element.clientHeight - margin)
      element.scrollTop = top + rowHeight - element.clientHeight + margin;
  };
  useLayoutEffect(() => {
    if (follow !== null && !inUse.current && !box.current!.contains(document.activeElement)) reveal(follow, 2 * rowHeight);
    // Of the values that the effect reads, only the row should trigger scrolling.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [follow, rowHeight]);

  const first = Math.max(0, Math.floor(view.top / rowHeight) - BEYOND);
  const end = Math.min(count, Math.ceil((view.top + view.height) / rowHeight) + BEYOND);
  // The tab stop must be rendered: the row that had the focus, otherwise the followed row, otherwise one in sight.
  const isThere = (index: number): boolean => index >= first && index < end;
  const stop = isThere(active) ? active : follow !== null && isThere(follow) ? follow : Math.min(first + BEYOND, Math.max(0, count - 1));
  useEffect(() => {
    if (end === count && count > 0) onEnd?.();
  }, [end, count, onEnd]);
  useEffect(() => {
    if (!wantsFocus.current) return;
    wantsFocus.current = false;
    box.current!.querySelector<HTMLElement>(`[data-row="${active}"] button`)?.focus({ preventScroll: true });
  }, [active, view]);

  const onKeyDown = (event: KeyboardEvent): void => {
    const page = Math.max(1, Math.floor(view.height / rowHeight) - 1);
    const targets: Readonly<Record<string, number>> = {
      ArrowDown: stop + 1,
      ArrowUp: stop - 1,
      PageDown: stop + page,
      PageUp: stop - page,
      Home: 0,
      End: count - 1,
    };
    const target = targets[event.key];
    if (target === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    const next = Math.min(count - 1, Math.max(0, target));
    wantsFocus.current = true;
    reveal(next, 0);
    setActive(next);
    setView((before) => ({ ...before, top: box.current!.scrollTop }));
  };
  const rows: ReactNode[] = [];
  for (let index = first; index < end; index++)
    rows.push(
      <li
        key={keyOf(index)}
        data-row={index}
        aria-setsize={count}
        aria-posinset={index + 1}
        style={{ top: index * rowHeight, height: rowHeight }}
        onFocus={() => setActive(index)}
      >
        {row(index, index === stop ? 0 : -1)}
      </li>,
    );
  return (
    <ul
      ref={box}
      className="virtual"
      aria-label={label}
      style={{ '--rows': `${count * rowHeight}px` } as CSSProperties}
      onScroll={(event) => setView({ top: event.currentTarget.scrollTop, height: event.currentTarget.clientHeight })}
      onPointerEnter={() => (inUse.current = true)}
      onPointerLeave={() => (inUse.current = false)}
      onKeyDown={onKeyDown}
    >
      {rows}
    </ul>
  );
}
