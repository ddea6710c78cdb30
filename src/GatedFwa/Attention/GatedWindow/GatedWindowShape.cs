namespace GatedFwa.Attention;

/// <summary>The extents of one attention: q and o are [B, T, H, D]; k and v [B, S, Hkv, D]; α [B, S, H]; lse [B, H, T].</summary>
/// <param name="Batch">B.</param>
/// <param name="Tokens">T: queries, the last of the positions.</param>
/// <param name="Positions">S ≥ T: keys.</param>
/// <param name="Heads">H: query heads.</param>
/// <param name="KeyHeads">Hkv: key heads; query head h reads key head ⌊h · Hkv / H⌋.</param>
/// <param name="HeadSize">D: a multiple of 8 in 8 … 256.</param>
public readonly record struct GatedWindowShape(int Batch, int Tokens, int Positions, int Heads, int KeyHeads, int HeadSize)
{
    /// <summary>Query heads that share a key head.</summary>
    public int GroupSize => Heads / KeyHeads;

    /// <summary>Elements of q, o and their gradients.</summary>
    public long QueryCount => (long)Batch * Tokens * Heads * HeadSize;

    /// <summary>Elements of k, of v, and of their gradients.</summary>
    public long KeyCount => (long)Batch * Positions * KeyHeads * HeadSize;

    /// <summary>Elements of α and its gradient.</summary>
    public long AlphaCount => (long)Batch * Positions * Heads;

    /// <summary>Elements of lse.</summary>
    public long LseCount => (long)Batch * Heads * Tokens;
}
