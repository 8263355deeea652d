import { Database } from "./app/database";
import "./ui/style.css";

// What is kept is read while the rest of the page is loaded: both take their time.
const kept = Database.begin();
// Whoever shows the page tells what went wrong.
kept.catch(() => undefined);
void import("./page").then(({ show }) => show(kept));
