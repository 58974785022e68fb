/** `t.same` for much data: tap describes each byte of both before it compares them, for seconds on an emulated processor. */
export function sameBytes(t, found, wanted, name = 'byte for byte') {
    if (found !== null && wanted !== null && Buffer.compare(found, wanted) === 0)
        t.pass(name);
    else
        t.fail(name, { found, wanted });
}
