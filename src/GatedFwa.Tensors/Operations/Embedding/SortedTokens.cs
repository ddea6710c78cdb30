using System.Numerics;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Tensors.Operations;

/// <summary>Positions sorted by their tokens, equal tokens by position, on a GPU: scratch, to be disposed.</summary>
internal sealed class SortedTokens : IDisposable
{
    private const int BitsPerPass = 8, Digits = 1 << BitsPerPass, OffsetThreads = 1024;

    // One block adds up what all blocks have counted: there are not too many of them.
    private const int FewKeysPerBlock = 1024, ManyKeysPerBlock = 8192, ManyKeys = 1 << 20;

    private static readonly KernelSource Source = new(typeof(SortedTokens), "sort_tokens.cu");

    /// <summary>Sorts tokens; those outside the vocabulary come last, as <paramref name="vocabulary"/>.</summary>
    /// <param name="tokens">I32, on a GPU.</param>
    /// <param name="vocabulary">Tokens are less.</param>
    public SortedTokens(Tensor tokens, int vocabulary)
    {
        CudaDevice device = tokens.Cuda;
        int count = checked((int)tokens.Count), keysOfBlock = count < ManyKeys ? FewKeysPerBlock : ManyKeysPerBlock;
        int blocks = RowLaunch.Quotient(count, keysOfBlock);
        KernelDefine keysPerBlock = ("KEYS", keysOfBlock);
        CudaKernel counting = device.Kernel(Source, "sort_count", keysPerBlock);
        CudaKernel offsets = device.Kernel(Source, "sort_offsets", keysPerBlock);
        CudaKernel moving = device.Kernel(Source, "sort_move", keysPerBlock);
        using CudaStorage counts = device.Memory.Rent((long)Digits * blocks * sizeof(int));
        KernelArgument keys = tokens, order = default(Tensor);
        int bits = BitOperations.Log2((uint)vocabulary) + 1;
        for (int shift = 0; shift < bits; shift += BitsPerPass)
        {
            CudaStorage movedKeys = device.Memory.Rent((long)count * sizeof(int));
            CudaStorage movedOrder = device.Memory.Rent((long)count * sizeof(int));
            var shape = new LaunchShape(blocks, Digits);
            counting.Launch(shape, keys, count, vocabulary, shift, counts);
            offsets.Launch(new LaunchShape(1, OffsetThreads), counts, Digits * blocks);
            moving.Launch(shape, keys, order, count, vocabulary, shift, counts, movedKeys, movedOrder);
            Dispose();
            (keys, order) = (movedKeys, movedOrder);
            (Tokens, Order) = (movedKeys, movedOrder);
        }
    }

    /// <summary>The tokens, sorted: I32.</summary>
    public CudaStorage? Tokens { get; private set; }

    /// <summary>The position of each: I32.</summary>
    public CudaStorage? Order { get; private set; }

    public void Dispose()
    {
        Tokens?.Dispose();
        Order?.Dispose();
    }
}
