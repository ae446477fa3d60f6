import { autocompletion, closeBrackets, closeBracketsKeymap, closeCompletion, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { MySQL, PostgreSQL, SQLite, sql, type SQLNamespace } from "@codemirror/lang-sql";
import { bracketMatching, HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { type Diagnostic, setDiagnostics } from "@codemirror/lint";
import { Compartment, EditorState, Prec } from "@codemirror/state";
import {
  drawSelection, EditorView, highlightActiveLine, highlightSpecialChars, keymap, lineNumbers, placeholder,
} from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { DatabaseKind, type Table } from "../../gen/pulse/v1/connection_pb.ts";
import { placeOf } from "../parts/problem.tsx";

/** An editor for SQL, in an element of the page. */
export interface Editor {
  text: () => string;
  setText: (text: string) => void;
  setDialect: (kind: DatabaseKind, tables: Table[]) => void;
  /** Marks a place, counted in characters from 1; none removes the mark. */
  mark: (position?: number, message?: string) => void;
  focus: () => void;
  destroy: () => void;
}

interface Options {
  text: string;
  label: string;
  description: string;
  readOnly: boolean;
  onChange: (text: string) => void;
  /** Ctrl+Enter. */
  onRun: () => void;
}

/** Makes an editor. It lives in a shadow root: there its styles are allowed by the page's policy. */
export function createEditor(element: HTMLElement, options: Options): Editor {
  const root = element.shadowRoot ?? element.attachShadow({ mode: "open" });
  const dialect = new Compartment();
  const view = new EditorView({
    parent: root,
    root,
    state: EditorState.create({
      doc: options.text,
      extensions: [
        Prec.highest(keymap.of([
          { key: "Mod-Enter", run: (view) => (closeCompletion(view), options.onRun(), true) },
          // After Escape Tab leaves the editor, until something is written: nobody is caught in it.
          { key: "Escape", run: (view) => (view.setTabFocusMode(true), false) },
        ])),
        EditorView.domEventHandlers({ focus: (_, view) => view.setTabFocusMode(false) }),
        lineNumbers(),
        history(),
        drawSelection(),
        highlightSpecialChars(),
        highlightActiveLine(),
        bracketMatching(),
        closeBrackets(),
        autocompletion(),
        placeholder("SELECT …"),
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({ "aria-label": options.label, "aria-description": options.description }),
        EditorState.readOnly.of(options.readOnly),
        keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...historyKeymap, ...completionKeymap, indentWithTab]),
        EditorView.updateListener.of(({ docChanged, state, view }) => {
          if (!docChanged) return;
          view.setTabFocusMode(false);
          options.onChange(state.doc.toString());
        }),
        dialect.of(sql()),
        syntaxHighlighting(COLOURS),
        THEME,
      ],
    }),
  });
  return {
    text: () => view.state.doc.toString(),
    setText: (text) => {
      if (text === view.state.doc.toString()) return;
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } });
    },
    setDialect: (kind, tables) =>
      view.dispatch({ effects: dialect.reconfigure(sql({ dialect: DIALECTS[kind], schema: namespace(tables), upperCaseKeywords: true })) }),
    mark: (position, message = "") => {
      const marks: Diagnostic[] = [];
      if (position) {
        const from = Math.min(placeOf(view.state.doc.toString(), position).offset, view.state.doc.length);
        const word = view.state.wordAt(from);
        const to = Math.min(word?.to ?? from + 1, view.state.doc.length);
        marks.push({ from: Math.min(from, to), to, message, severity: "error" });
      }
      view.dispatch(setDiagnostics(view.state, marks));
    },
    focus: () => view.focus(),
    destroy: () => view.destroy(),
  };
}

const DIALECTS = {
  [DatabaseKind.UNSPECIFIED]: SQLite,
  [DatabaseKind.POSTGRESQL]: PostgreSQL,
  [DatabaseKind.MYSQL]: MySQL,
  [DatabaseKind.SQLITE]: SQLite,
};

/** Tables and columns for completion; tables of every schema also by their bare name. */
function namespace(tables: Table[]): SQLNamespace {
  const names: Record<string, SQLNamespace> = {};
  const schemas: Record<string, Record<string, SQLNamespace>> = {};
  for (const table of tables) {
    const columns = table.columns.map((column) => ({ label: column.name, type: "property", detail: column.declaredType }));
    names[table.name] ??= columns;
    (schemas[table.schema] ??= {})[table.name] = columns;
  }
  return { ...schemas, ...names };
}

const COLOURS = HighlightStyle.define([
  { tag: tags.keyword, color: "var(--code-keyword)", fontWeight: "600" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--code-string)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--code-number)" },
  { tag: tags.comment, color: "var(--dim)", fontStyle: "italic" },
  { tag: [tags.typeName, tags.standard(tags.name)], color: "var(--code-type)" },
]);

const THEME = EditorView.theme({
  "&": { color: "var(--text)", backgroundColor: "var(--ground-code)", fontSize: "13px", borderRadius: "8px" },
  "&.cm-focused": { outline: "2px solid var(--focus)", outlineOffset: "-1px" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.55" },
  ".cm-content": { padding: "10px 0", caretColor: "var(--text)", minHeight: "44px" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  ".cm-gutters": { backgroundColor: "transparent", color: "var(--dim)", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "transparent" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "var(--selection)",
  },
  ".cm-placeholder": { color: "var(--dim)" },
  ".cm-matchingBracket": { backgroundColor: "var(--selection)", outline: "none" },
  ".cm-lintRange-error": { backgroundImage: "none", textDecoration: "underline wavy var(--bad)", textUnderlineOffset: "3px" },
  ".cm-tooltip": {
    backgroundColor: "var(--ground-raised)", color: "var(--text)", border: "1px solid var(--line)", borderRadius: "6px",
    boxShadow: "var(--shadow)",
  },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--on-accent)" },
  ".cm-completionDetail": { color: "inherit", opacity: "0.75", fontStyle: "normal" },
});
