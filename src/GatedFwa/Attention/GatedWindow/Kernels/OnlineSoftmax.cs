using System.Runtime.CompilerServices;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Attention.Kernels;

/// <summary>
/// Softmax over keys that arrive tile by tile (Milakov and Gimelshein 2018), base 2. Each block of rows keeps the largest score so
/// far; when it rises, what was summed so far is scaled down by 2^(old − new).
/// </summary>
internal static unsafe class OnlineSoftmax
{
    /// <summary>The maximum before any key: below every score that matters, and finite, so that −∞ − maximum is −∞ and not NaN.</summary>
    public const float NothingSeen = -1e30f;

    /// <summary>Turns new maxima into the factors of what was summed under the old ones.</summary>
    /// <param name="max">The maxima so far, a block's lanes; raised to the new ones.</param>
    /// <param name="rescale">The new maxima, none below the old; becomes 2^(old − new).</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Raise<V, S>(float* max, float* rescale)
        where V : struct
        where S : struct, ISimd<V>
    {
        for (int lane = 0; lane < Tile.BlockLanes; lane += S.Width)
        {
            V old = S.Load(max + lane), raised = S.Load(rescale + lane);
            // Exactly 1 where nothing rose: the polynomial's 2^0 is 7.5e-8 short, and a long text has many tiles.
            S.Store(S.Select(S.GreaterOrEqual(old, raised), S.Create(1f), S.Exp2(S.Subtract(old, raised))), rescale + lane);
            S.Store(raised, max + lane);
        }
    }
}
