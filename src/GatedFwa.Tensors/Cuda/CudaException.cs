namespace GatedFwa.Tensors.Cuda;

/// <summary>A GPU cannot do what was asked: the message says what, and what to do about it.</summary>
public sealed class CudaException : Exception
{
    /// <summary>Makes the exception.</summary>
    /// <param name="message">What went wrong and the remedy, in whole sentences.</param>
    public CudaException(string message)
        : base(message)
    {
    }

    /// <summary>Makes the exception of a failed call.</summary>
    /// <param name="message">What went wrong and the remedy, in whole sentences.</param>
    /// <param name="inner">What it came from.</param>
    public CudaException(string message, Exception inner)
        : base(message, inner)
    {
    }
}
