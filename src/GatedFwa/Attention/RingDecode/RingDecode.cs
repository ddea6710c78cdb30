using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Attention;

/// <summary>
/// <see cref="GatedWindowAttention"/> for the newest token of each text of a batch, straight from its ring, however long each is. The
/// decays between query and key are added up anew from the ring at every step: no running sum, so token 1,000,000 is as exact as token 1.
/// </summary>
public static class RingDecode
{
    /// <summary>Attends from the newest position of each text to all that the ring holds of it.</summary>
    /// <param name="tape">Owns the result; no gradient flows through it.</param>
    /// <param name="q">[B, 1, H, D] in the ring's type: the query of the position appended last.</param>
    /// <param name="ring">Keys, values and decays, with at least one position of each text.</param>
    /// <param name="scale">The factor of q·k; 1/√D unless given.</param>
    /// <returns>[B, 1, H, D] in the ring's type.</returns>
    /// <exception cref="OperandException">The shapes or types do not match, D is not a multiple of 8, a text of the ring is empty, or
    /// the tape records.</exception>
    public static Tensor Apply(Tape tape, Tensor q, KeyValueRing ring, float? scale = null)
    {
        if (q.Shape != ring.QueryShape) throw new OperandException(nameof(RingDecode), $"a query {ring.QueryShape}", $"{q.Shape}");
        if (q.Type != ring.Keys.Type || q.Device != ring.Keys.Device)
        {
            throw new OperandException(
                nameof(RingDecode), $"a query of {ring.Keys.Type} on {ring.Keys.Device}, as the ring", $"{q.Type} on {q.Device}");
        }

        if (q.Shape[3] % 8 != 0) throw new OperandException(nameof(RingDecode), "a head size that is a multiple of 8", $"{q.Shape[3]}");
        if (ring.Cursors.HasEmpty)
            throw new OperandException(nameof(RingDecode), "a ring that holds each query's own position", "an empty one");
        if (tape.NeedsGradient(q)) throw new OperandException(nameof(RingDecode), "a tape opened for inference", "one that records");
        Tensor o = tape.Allocate(q.Shape, q.Type, q.Device);
        float factor = scale ?? 1 / MathF.Sqrt(q.Shape[3]);
        if (q.Device.IsCpu) RingDecodeCpu.Forward(q, ring, factor, o);
        else RingDecodeCuda.Forward(q, ring, factor, o);
        return o;
    }
}
